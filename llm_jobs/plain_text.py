"""Plain item text: an item's own fields as one text, the feature that needs no model.

The format is fixed: the cleaned fields in the order given, absent ones skipped, each ended with a full stop
unless it ends a sentence itself: ``Beard Oil. Northwood. Beauty > Beard Care. Softens coarse beards.``
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import InputError, UsageError
from featurestore.features import FeatureRegistry, FeatureVersion
from featurestore.ids import digest, fingerprint
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.schema import TEXTS
from featurestore.source_tables import ITEMS
from featurestore.spec import PlainTextSpec, table_name
from featurestore.store import Store
from llm_jobs.clean import CLEANER_VERSION, clean_fields
from llm_jobs.prompt import DEFAULT_LIMITS

PLAIN_FIELDS = (c.TITLE, c.BRAND, c.CATEGORIES, c.DESCRIPTION)
VIEW = "text"
NO_TEXT = "no_text"
"""Reason of the failed row of an item without any text."""

_FORMAT_VERSION = 1
_ROWS_PER_COMMIT = 4_000


def build_plain_texts(
    store: Store,
    *,
    feature: str = "item_text",
    fields: Sequence[str] = PLAIN_FIELDS,
    progress: Progress = no_progress,
) -> FeatureVersion:
    """Write one text per item and make it the head of ``<feature>.text``.

    Only items whose fields changed are written; rows of items that are gone are deleted. An item without any
    text gets a failed row with the reason ``no_text``.

    Args:
        store: A store with ingested items.
        feature: Name of the feature.
        fields: Item columns, in order.
        progress: Told about rows written.

    Raises:
        InputError: If nothing was ingested.
        UsageError: If the items lack one of ``fields``.
        LockHeldError: If another job writes the same texts.
    """
    items = _read_items(store, fields)
    spec = PlainTextSpec(
        feature=feature,
        view=VIEW,
        entity="item",
        fields=tuple(fields),
        template_digest=digest({"format": _FORMAT_VERSION, "limits": DEFAULT_LIMITS}),
        cleaner_version=CLEANER_VERSION,
    )
    table = table_name(spec)
    with FeatureLock(store.objects, table) as lock:
        stored = _stored_fingerprints(store, table)
        changed = [(key, row, mark) for key, row, mark in items if stored.get(key) != mark]
        for start in range(0, len(changed), _ROWS_PER_COMMIT):
            batch = changed[start : start + _ROWS_PER_COMMIT]
            rows = [_text_row(key, row, mark, run_id=f"plain-{spec.digest[:16]}") for key, row, mark in batch]
            lock.check()
            store.upsert(table, pa.Table.from_pylist(rows, schema=TEXTS), key=c.ID)
            progress(start + len(batch), len(changed))
        gone = sorted(set(stored) - {key for key, _, _ in items})
        if gone:
            lock.check()
            store.delete(table, gone, key=c.ID)
        lock.check()
        return FeatureRegistry(store).register(spec)


def plain_text(fields: Mapping[str, Any], names: Sequence[str] = PLAIN_FIELDS) -> str:
    """The plain text of one item; empty if none of the fields holds text."""
    cleaned, _ = clean_fields({name: fields.get(name) for name in names}, DEFAULT_LIMITS)
    return " ".join(_as_sentence(str(value)) for value in cleaned.values() if value is not None)


def _as_sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _read_items(store: Store, fields: Sequence[str]) -> list[tuple[str, dict[str, Any], str]]:
    """(item id, fields, fingerprint) of every item, in stored order."""
    if store.latest(ITEMS) is None:
        raise InputError(f"{store.uri} holds no items.", hint="Run `featurestore ingest` first.")
    items = store.read(ITEMS)
    missing = [name for name in fields if name not in items.column_names]
    if missing:
        raise UsageError(
            f"the items lack {', '.join(map(repr, missing))}; they have {', '.join(items.column_names)}."
        )
    return list(_fingerprinted(items, fields))


def _fingerprinted(items: pa.Table, fields: Sequence[str]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for row in items.select([c.ITEM_ID, *fields]).to_pylist():
        key = row.pop(c.ITEM_ID)
        yield key, row, fingerprint(row)


def _stored_fingerprints(store: Store, table: str) -> dict[str, str]:
    if store.latest(table) is None:
        return {}
    rows = store.read(table, columns=[c.ID, c.FINGERPRINT])
    return dict(zip(rows[c.ID].to_pylist(), rows[c.FINGERPRINT].to_pylist(), strict=True))


def _text_row(item_id: str, fields: Mapping[str, Any], mark: str, *, run_id: str) -> dict[str, Any]:
    """One row of `featurestore.schema.TEXTS`; columns that only a model fills stay null."""
    text = plain_text(fields, tuple(fields))
    return {
        c.ID: item_id,
        c.STATUS: c.STATUS_OK if text else c.STATUS_FAILED,
        c.TEXT: text or None,
        c.REASON: None if text else NO_TEXT,
        c.RAW: None if text else "",
        c.FINGERPRINT: mark,
        c.ATTEMPTS: 1,
        c.RUN_ID: run_id,
    }

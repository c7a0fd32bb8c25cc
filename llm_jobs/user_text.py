"""Plain user text: what a user chose last among the training events, as one text, without any model.

RecMind's user side of T_v (arXiv 2509.06286): up to M_u short snippets, recent ones, clipped and normalised.
That M_u is 5, and a snippet an item's title with what the user wrote about it, is our reconstruction. The
newest item comes first, each item once: ``Beard Oil: Smells of cedar. Tall Cup. Kettle: Boils fast!``
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import InputError
from featurestore.features import FeatureRegistry, FeatureVersion
from featurestore.ids import digest
from featurestore.jobs.lock import FeatureLock
from featurestore.point_in_time import EventSet, wanted_event_set
from featurestore.progress import Progress, no_progress
from featurestore.schema import TEXTS
from featurestore.source_tables import INTERACTIONS, ITEMS, USERS
from featurestore.spec import PlainTextSpec, table_name
from featurestore.splits import SplitRecord, current_split
from featurestore.store import Store
from llm_jobs.clean import CLEANER_VERSION, clean_text
from llm_jobs.history import belongs_to
from llm_jobs.personal_data import MASKING_VERSION
from llm_jobs.plain_text import NO_TEXT, VIEW

NUM_SNIPPETS: Final = 5
"""Items of a user's text at most: RecMind's M_u."""
TITLE_TOKENS: Final = 24
REVIEW_TOKENS: Final = 40
"""Tokens of a title and of a review at most, as `llm_jobs.token_estimate` counts them."""
Snippet: TypeAlias = tuple[str | None, str | None]
"""Title of an item, and the user's review of it."""

_FORMAT_VERSION = 1
_ROWS_PER_COMMIT = 4_000
_SENTENCE_ENDS = (".", "!", "?")


def build_user_texts(
    store: Store, *, feature: str = "user_text", progress: Progress = no_progress
) -> FeatureVersion:
    """Write one text per user and make it the head of ``<feature>.text``.

    Reads the training part of the current split and says so in every row's ``event_set``. Only users whose
    snippets or event set changed are written; rows of users that are gone are deleted. A user without any
    text gets a failed row with the reason ``no_text``.

    Args:
        store: A store with ingested users, items and interactions.
        feature: Name of the feature.
        progress: Told about rows written.

    Raises:
        InputError: If nothing was ingested, or without a split.
        LockHeldError: If another job writes the same texts.
    """
    split = _require_split(store)
    read = wanted_event_set(c.TRAIN, split)
    spec = _spec(feature)
    table = table_name(spec)
    with FeatureLock(store.objects, table) as lock:
        stored = _stored_marks(store, table)
        users = list(_users(store, split, read))
        changed = [
            (user, shown, mark) for user, shown, mark in users if stored.get(user) != (mark, read.name)
        ]
        for start in range(0, len(changed), _ROWS_PER_COMMIT):
            batch = changed[start : start + _ROWS_PER_COMMIT]
            rows = [_text_row(*each, read=read, run_id=f"plain-{spec.digest[:16]}") for each in batch]
            lock.check()
            store.upsert(table, pa.Table.from_pylist(rows, schema=TEXTS), key=c.ID)
            progress(start + len(batch), len(changed))
        gone = sorted(set(stored) - {user for user, _, _ in users})
        if gone:
            lock.check()
            store.delete(table, gone, key=c.ID)
        lock.check()
        return FeatureRegistry(store).register(spec)


def user_text(snippets: Sequence[Snippet]) -> str:
    """The text of one user; empty if no snippet holds any.

    Args:
        snippets: (title, review) of each item, newest first; personal data in reviews is masked.
    """
    return " ".join(filter(None, (_snippet(title, review) for title, review in snippets)))


def _snippet(title: str | None, review: str | None) -> str:
    name = clean_text(title or "", TITLE_TOKENS).text
    words = clean_text(review or "", REVIEW_TOKENS, user_written=True).text
    said = ": ".join(filter(None, (name, words)))
    return said if not said or said.endswith(_SENTENCE_ENDS) else f"{said}."


def _spec(feature: str) -> PlainTextSpec:
    return PlainTextSpec(
        feature=feature,
        view=VIEW,
        entity="user",
        fields=(c.TITLE, c.REVIEW),
        template_digest=digest(
            {
                "format": _FORMAT_VERSION,
                "snippets": NUM_SNIPPETS,
                "tokens": [TITLE_TOKENS, REVIEW_TOKENS],
                "masking": MASKING_VERSION,
                "events": c.TRAIN,
            }
        ),
        cleaner_version=CLEANER_VERSION,
    )


def _require_split(store: Store) -> SplitRecord:
    split = current_split(store)
    if split is None or store.latest(USERS) is None:
        raise InputError(
            f"{store.uri} holds no users with training events.",
            hint="Run: featurestore ingest, with interactions",
        )
    return split


def _users(store: Store, split: SplitRecord, read: EventSet) -> Iterator[tuple[str, list[Snippet], str]]:
    """(user id, its newest (title, review), digest of what is shown) of every user, in stored order."""
    columns = [c.USER_ID, c.ITEM_ID, c.TIMESTAMP, c.POSITION, c.PART, c.REVIEW]
    rows = store.read(INTERACTIONS, version=split.interactions_version, columns=columns)
    titles = pl.DataFrame(store.read(ITEMS, columns=[c.ITEM_ID, c.TITLE]))
    newest = (
        pl.DataFrame(rows)
        .filter(belongs_to(read))
        .sort([c.USER_ID, c.POSITION], descending=[False, True])
        .unique([c.USER_ID, c.ITEM_ID], keep="first", maintain_order=True)
        .filter(pl.int_range(pl.len()).over(c.USER_ID) < NUM_SNIPPETS)
        .join(titles, on=c.ITEM_ID, how="left", maintain_order="left")
    )
    shown: dict[str, list[Snippet]] = {}
    for user, title, review in newest.select(c.USER_ID, c.TITLE, c.REVIEW).iter_rows():
        shown.setdefault(user, []).append((title, review))
    for user in store.read(USERS, columns=[c.USER_ID])[c.USER_ID].to_pylist():
        snippets = shown.get(user, [])
        yield user, snippets, digest([list(snippet) for snippet in snippets])


def _stored_marks(store: Store, table: str) -> dict[str, tuple[str, str]]:
    """User id → (fingerprint, event set) of the rows that are there."""
    if store.latest(table) is None:
        return {}
    rows = pl.DataFrame(store.read(table, columns=[c.ID, c.FINGERPRINT, c.EVENT_SET]))
    return {user: (mark, events) for user, mark, events in rows.iter_rows()}


def _text_row(
    user_id: str, snippets: Sequence[Snippet], mark: str, *, read: EventSet, run_id: str
) -> dict[str, Any]:
    """One row of `featurestore.schema.TEXTS`; columns that only a model fills stay null."""
    text = user_text(snippets)
    return {
        c.ID: user_id,
        c.STATUS: c.STATUS_OK if text else c.STATUS_FAILED,
        c.TEXT: text or None,
        c.REASON: None if text else NO_TEXT,
        c.RAW: None if text else "",
        c.FINGERPRINT: mark,
        c.ATTEMPTS: 1,
        c.EVENT_SET: read.name,
        c.EVENTS_DIGEST: mark,
        c.RUN_ID: run_id,
    }

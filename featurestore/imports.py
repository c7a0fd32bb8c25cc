"""Imports: texts and vectors made elsewhere become feature versions, with lineage, gates and releases.

An import is one version: its spec holds who made it and a digest of its ids and content. Rows that cannot be
used are counted by reason and left out:

=================  =============================================================
``empty_id``       the key is absent or blank
``unknown_id``     the store has no such item or user
``duplicate_id``   the key was seen before; the first row is kept
``empty_text``     the text is absent or blank
``wrong_length``   the vector is absent, or not as long as the first one
``not_finite``     the vector holds NaN, an infinity or a gap
``zero_vector``    the vector has no direction
=================  =============================================================

What describes a user was made from events. Which ones must be said (``--events``), because a text that read
held-out events would leak them to every model that is tested on them.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import ValidationError

from featurestore import columns as c
from featurestore import imported_rows as rows_of
from featurestore.errors import LeakError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.point_in_time import wanted_event_set
from featurestore.source_tables import ITEMS, USERS
from featurestore.sources.tables import read_table
from featurestore.spec import EncoderSpec, Entity, ImportedTextSpec, ImportedVectorSpec, table_name
from featurestore.splits import LOG_PREFIX, current_split
from featurestore.store import Store

VIEW = "text"
"""The one view of an imported feature."""
UNKNOWN = "unknown"
_UNKNOWN_TOKENS = 1_000_000
_CHECKSUM_CHARS = 16
_PARTS_READ = (c.TRAIN, f"{c.TRAIN}+{c.VALID}", "+".join(c.PARTS))


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        feature: Its name.
        kind: ``text`` or ``vector``.
        entity: Whom it describes.
        table: The table that holds the rows.
        spec_digest: Identity of the version.
        read: Rows of the file.
        kept: Rows of the version.
        quarantined: Rows left out, by reason.
        examples: The first ids (or row numbers, for empty ids) of each reason.
        coverage: Share of the store's entities that have a row.
        event_set: The events it was made from, if said.
        is_new: Whether anything was written; not if the store held this very version.
    """

    feature: str
    kind: str
    entity: Entity
    table: str
    spec_digest: str
    read: int
    kept: int
    quarantined: dict[str, int]
    examples: dict[str, list[str]]
    coverage: float
    event_set: str | None
    is_new: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def import_feature(
    store: Store,
    *,
    feature: str,
    table: Path,
    key: str,
    producer: str,
    entity: Entity,
    text: str | None = None,
    vector: str | None = None,
    events: str | None = None,
    encoder_name: str | None = None,
) -> ImportReport:
    """Import one column of a table as a feature version and make it the head.

    Args:
        store: A store whose items and users were ingested.
        feature: Name of the feature.
        table: A parquet, JSON lines or CSV file (CSV for texts only).
        key: The column of item or user ids.
        producer: Who or what made the column, in your words.
        entity: Whom it describes.
        text: The column of texts; either this or ``vector``.
        vector: The column of vectors: lists of numbers of one length.
        events: ``current:train`` or ``<split checksum>:train``: the events it was made from; ``train+valid``
            or ``train+valid+test`` if it read those too; ``log:2014-07-01`` if all
            events before that day were read. Users need it.
        encoder_name: What made the vectors; vectors of one encoder may be compared.

    Raises:
        UsageError: If not exactly one of ``text`` and ``vector`` is given, the name cannot be one, or a user
            feature lacks ``events``, or the name belongs to a feature of the other entity.
        LeakError: If ``events`` names another split than the current one.
        InputError: If the file cannot be read, or no row can be used.
        RowContractError: If a column is absent or of the wrong type.
        LockHeldError: If another job imports the same.
    """
    if (text is None) == (vector is None):
        raise UsageError("an import has either a text column or a vector column: give one of the two.")
    if not producer.strip():
        raise UsageError(
            "the producer is empty.", hint="Say who or what made it, such as --producer 'gpt-4, 2024-05'."
        )
    kind: rows_of.ImportKind = "vector" if text is None else "text"
    event_set = _event_set(store, entity, events)
    known = _known_ids(store, entity)
    source = read_table(table, ids=(key,))
    checked = rows_of.check_rows(
        source, key=key, column=text or vector or "", kind=kind, entity=entity, known=known
    )
    content = rows_of.content_digest(checked.rows, kind)
    encoder = _encoder(checked.rows, producer, encoder_name) if kind == "vector" else None
    spec = _spec(feature, entity, producer, content, encoder)
    _require_same_entity(store, spec)
    built = rows_of.to_arrow(checked.rows, kind, event_set=event_set, run_id=f"import-{content[:16]}")
    with FeatureLock(store.objects, table_name(spec)):
        is_new = _write(store, table_name(spec), built)
        FeatureRegistry(store).register(spec)
    return ImportReport(
        feature=feature,
        kind=kind,
        entity=entity,
        table=table_name(spec),
        spec_digest=spec.digest,
        read=source.num_read,
        kept=checked.rows.height,
        quarantined=checked.reasons,
        examples=checked.examples,
        coverage=checked.rows.height / known.len(),
        event_set=event_set,
        is_new=is_new,
    )


def _event_set(store: Store, entity: Entity, events: str | None) -> str | None:
    if events is None:
        if entity == "item":
            return None
        raise UsageError(
            "a feature of users needs --events: from which events was it made?",
            hint="What was made from a user's whole history holds test events, which no recommender may "
            "see. If training events alone were read, say --events current:train.",
        )
    if events.startswith(LOG_PREFIX):
        return wanted_event_set(events, None).name
    name, separator, part = events.partition(":")
    if not separator or not name or part not in _PARTS_READ:
        raise UsageError(
            f"--events is SPLIT:PART, got {events!r}.",
            hint=f"Such as current:train; parts are {', '.join(_PARTS_READ)}. Or log:2014-07-01: all events "
            "before that day.",
        )
    current = current_split(store)
    if current is None:
        raise UsageError(
            "the store has no split yet, so no events can be named.", hint="Ingest interactions first."
        )
    if name != "current" and not (len(name) >= _CHECKSUM_CHARS and current.checksum.startswith(name)):
        raise LeakError(
            f"--events names the split {name!r}; the current one is {current.checksum[:_CHECKSUM_CHARS]!r}.",
            hint="Features made from the events of another split may hold events that this one holds out. "
            "Make them again, or ingest with the split that they were made from.",
        )
    return current.event_set(part)


def _known_ids(store: Store, entity: Entity) -> pl.Series:
    name, key = (ITEMS, c.ITEM_ID) if entity == "item" else (USERS, c.USER_ID)
    if store.latest(name) is None:
        raise UsageError(
            f"the store has no {entity}s yet, so nothing can be imported for them.",
            hint="Run `featurestore ingest` first.",
        )
    return pl.DataFrame(store.read(name, columns=[key])).to_series()


def _spec(
    feature: str, entity: Entity, producer: str, content: str, encoder: EncoderSpec | None
) -> ImportedTextSpec | ImportedVectorSpec:
    try:
        if encoder is None:
            return ImportedTextSpec(
                feature=feature, view=VIEW, entity=entity, producer=producer, content_digest=content
            )
        return ImportedVectorSpec(
            feature=feature,
            view=VIEW,
            entity=entity,
            producer=producer,
            content_digest=content,
            encoder=encoder,
        )
    except ValidationError:
        raise UsageError(
            f"{feature!r} cannot name a feature.",
            hint="Use letters, digits, - and _, at most 64, starting with a letter or digit.",
        ) from None


def _require_same_entity(store: Store, spec: ImportedTextSpec | ImportedVectorSpec) -> None:
    for head in FeatureRegistry(store).heads(spec.kind):
        if head.spec.feature == spec.feature and head.spec.entity != spec.entity:
            raise UsageError(
                f"{spec.feature!r} is a {spec.kind} feature of {head.spec.entity}s already.",
                hint=f"Give the feature of {spec.entity}s a name of its own.",
            )


def _encoder(rows: pl.DataFrame, producer: str, name: str | None) -> EncoderSpec:
    """What is known of the space: an unnamed encoder is known by its producer only."""
    matrix = rows_of.matrix(rows)
    norms = np.linalg.norm(matrix, axis=1)
    return EncoderSpec(
        name=name or UNKNOWN,
        model=name or f"{UNKNOWN}, by {producer}",
        pooling=UNKNOWN,
        normalized=bool(np.allclose(norms, 1.0, atol=1e-3)),
        embedding_dim=matrix.shape[1],
        max_tokens=_UNKNOWN_TOKENS,
    )


def _write(store: Store, name: str, rows: pa.Table) -> bool:
    if store.latest(name) is not None and store.read(name).equals(rows):
        return False
    store.replace(name, rows)
    return True

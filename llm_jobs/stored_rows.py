"""What the store holds of a prompt's stages, as a plan needs it."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from featurestore import columns as c
from featurestore.errors import UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.spec import TextSpec, table_name
from featurestore.store import Store


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What the store holds of one entity and stage.

    Attributes:
        fingerprint: The inputs it was made from.
        answer: Canonical answer; None if the stage failed.
        attempts: Requests it took.
        field_digests: See `llm_jobs.specs.field_digests`.
        run_id: The run that wrote it.
    """

    fingerprint: str
    answer: str | None
    attempts: int
    field_digests: str | None = None
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class StoredStage:
    """Stored rows of one stage, aligned with the plan's entities.

    Attributes:
        table: The stage's table.
        stored_ids: Every entity that it holds a row of, those that are gone included.
        other_version_ids: Entities that the view's head holds a row of, if the head is another spec.
    """

    table: str
    stored_ids: frozenset[str]
    other_version_ids: frozenset[str]
    _fingerprints: list[str | None]
    _attempts: list[int]
    _answers: pl.Series
    _field_digests: pl.Series
    _run_ids: pl.Series

    def row(self, position: int) -> StoredRow | None:
        """The row of the entity at a position of the plan, if there is one."""
        stored = self._fingerprints[position]
        if stored is None:
            return None
        return StoredRow(
            stored,
            self._answers[position],
            self._attempts[position],
            self._field_digests[position],
            self._run_ids[position],
        )


def load_stage(store: Store, spec: TextSpec, ids: Sequence[str]) -> StoredStage:
    """The stored rows of a stage. Reads its answers once.

    Args:
        store: Holds the texts.
        spec: The stage.
        ids: The plan's entities, in order.
    """
    table = table_name(spec)
    wanted = pl.DataFrame({c.ID: ids}, schema={c.ID: pl.String})
    texts = (c.ID, c.FINGERPRINT, c.ANSWER, c.FIELD_DIGESTS, c.RUN_ID)
    schema = {**dict.fromkeys(texts, pl.String), c.ATTEMPTS: pl.Int16}
    rows = pl.DataFrame(schema=schema)
    if store.latest(table) is not None:
        rows = pl.DataFrame(store.read(table, columns=list(schema)))
    aligned = wanted.join(rows, on=c.ID, how="left", maintain_order="left")
    return StoredStage(
        table,
        frozenset(rows[c.ID].to_list()),
        _other_version_ids(store, spec),
        aligned[c.FINGERPRINT].to_list(),
        aligned[c.ATTEMPTS].fill_null(0).to_list(),
        aligned[c.ANSWER],
        aligned[c.FIELD_DIGESTS],
        aligned[c.RUN_ID],
    )


def _other_version_ids(store: Store, spec: TextSpec) -> frozenset[str]:
    try:
        head = FeatureRegistry(store).head("text", spec.feature, spec.view)
    except UnknownNameError:
        return frozenset()
    if head.spec.digest == spec.digest or store.latest(head.table) is None:
        return frozenset()
    return frozenset(store.read(head.table, columns=[c.ID])[c.ID].to_pylist())

"""What a generation has to do: which chains start at which stage, and why.

A row is stale if its fingerprint is not the one its inputs give now. Whether the stages behind a stale one
are stale as well depends on the new text, so their counts are what happens at most.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import polars as pl

from featurestore import columns as c
from featurestore.errors import UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.spec import TextSpec, table_name
from featurestore.store import Store
from llm_jobs.inputs import EntityInputs, all_ids, load_inputs
from llm_jobs.prompt import Prompt
from llm_jobs.specs import (
    answer_digest,
    changed_fields,
    field_digests,
    input_digest,
    row_fingerprint,
    same_inputs,
)

Reason: TypeAlias = str
"""``new``, ``spec changed``, ``upstream changed``, ``failed``, or ``fields changed: title, brand``."""

_FIELDS_CHANGED: Final = "fields changed"


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What the store holds of one entity and stage.

    Attributes:
        fingerprint: The inputs it was made from.
        answer: Canonical answer; None if the stage failed.
        attempts: Requests it took.
        field_digests: See `llm_jobs.specs.field_digests`.
    """

    fingerprint: str
    answer: str | None
    attempts: int
    field_digests: str | None = None


@dataclass(frozen=True, slots=True)
class ChainWork:
    """One entity to work on.

    Attributes:
        position: Of the entity in the plan's inputs.
        stored: The stored row of every stage, if there is one.
    """

    position: int
    stored: tuple[StoredRow | None, ...]


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """Everything a generation will do.

    Attributes:
        inputs: The entities considered.
        works: Chains to run, in ascending id order.
        reasons: For each stage, rows at most by reason; stages without work have none.
        vanished: For each table, ids whose entity is no longer in the source.
        retry_failed: Whether failed rows count as stale.
    """

    inputs: EntityInputs
    works: tuple[ChainWork, ...]
    reasons: Mapping[str, Mapping[Reason, int]]
    vanished: Mapping[str, tuple[str, ...]]
    retry_failed: bool

    @property
    def num_entities(self) -> int:
        """Entities considered."""
        return len(self.inputs.ids)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to generate and nothing to delete."""
        return not self.works and not self.vanished


def plan_generation(
    store: Store,
    prompt: Prompt,
    specs: Sequence[TextSpec],
    *,
    limit: int | None = None,
    where: str | None = None,
    only_failed: bool = False,
) -> GenerationPlan:
    """Compare what is stored with what the sources say now. Reads all stored answers of the prompt once.

    Args:
        store: Sources and texts.
        prompt: The prompt, with its limits applied.
        specs: Its stages' specs, in order (see `llm_jobs.specs.stage_specs`).
        limit: Stale entities at most, the first in id order.
        where: Only entities that meet this condition (see `llm_jobs.inputs.load_inputs`).
        only_failed: Only entities whose first stale or failed stage is a failed row.

    Raises:
        InputError: If nothing was ingested.
        UsageError: If the prompt reads unknown fields, or ``where`` cannot be evaluated.
    """
    inputs = load_inputs(store, prompt, where=where)
    known = all_ids(store, prompt.entity)
    stages = [_load_stage(store, spec, inputs.ids) for spec in specs]
    planner = _Planner(specs, stages, inputs, retry_failed=only_failed)
    works = planner.works(limit)
    vanished = {stage.table: gone for stage in stages if (gone := tuple(sorted(stage.stored_ids - known)))}
    reasons = {spec.view: Counter[Reason]() for spec in specs}
    for work in works:
        for view, reason in planner.expected(work):
            reasons[view][reason] += 1
    return GenerationPlan(inputs, works, reasons, vanished, only_failed)


@dataclass(frozen=True, slots=True)
class _StoredStage:
    """Stored rows of one stage, aligned with the plan's entities."""

    table: str
    stored_ids: frozenset[str]
    other_version_ids: frozenset[str]
    """Entities that the view's head holds a row of, if the head is another spec."""
    fingerprints: list[str | None]
    attempts: list[int]
    answers: pl.Series
    field_digests: pl.Series

    def row(self, position: int) -> StoredRow | None:
        stored = self.fingerprints[position]
        if stored is None:
            return None
        return StoredRow(
            stored, self.answers[position], self.attempts[position], self.field_digests[position]
        )


def _load_stage(store: Store, spec: TextSpec, ids: Sequence[str]) -> _StoredStage:
    table = table_name(spec)
    wanted = pl.DataFrame({c.ID: ids}, schema={c.ID: pl.String})
    texts = (c.ID, c.FINGERPRINT, c.ANSWER, c.FIELD_DIGESTS)
    schema = {**dict.fromkeys(texts, pl.String), c.ATTEMPTS: pl.Int16}
    rows = pl.DataFrame(schema=schema)
    if store.latest(table) is not None:
        rows = pl.DataFrame(store.read(table, columns=list(schema)))
    aligned = wanted.join(rows, on=c.ID, how="left", maintain_order="left")
    return _StoredStage(
        table=table,
        stored_ids=frozenset(rows[c.ID].to_list()),
        other_version_ids=_other_version_ids(store, spec),
        fingerprints=aligned[c.FINGERPRINT].to_list(),
        attempts=aligned[c.ATTEMPTS].fill_null(0).to_list(),
        answers=aligned[c.ANSWER],
        field_digests=aligned[c.FIELD_DIGESTS],
    )


def _other_version_ids(store: Store, spec: TextSpec) -> frozenset[str]:
    try:
        head = FeatureRegistry(store).head("text", spec.feature, spec.view)
    except UnknownNameError:
        return frozenset()
    if head.spec.digest == spec.digest or store.latest(head.table) is None:
        return frozenset()
    return frozenset(store.read(head.table, columns=[c.ID])[c.ID].to_pylist())


class _Planner:
    """Walks the chain of every entity over its stored rows."""

    def __init__(
        self,
        specs: Sequence[TextSpec],
        stages: Sequence[_StoredStage],
        inputs: EntityInputs,
        *,
        retry_failed: bool,
    ) -> None:
        names = [spec.view for spec in specs]
        self._specs = specs
        self._stages = stages
        self._inputs = inputs
        self._retry_failed = retry_failed
        self._upstream = [[names.index(u) for u in spec.upstream if u in names] for spec in specs]

    def works(self, limit: int | None) -> tuple[ChainWork, ...]:
        """The first ``limit`` chains that have something to do."""
        works: list[ChainWork] = []
        for position, fields in enumerate(self._inputs.rows.iter_rows(named=True)):
            if limit is not None and len(works) >= limit:
                break
            first = next(iter(self._stale_stages(position, fields)), None)
            if first is None or (self._retry_failed and not self._has_failed(position, first[0])):
                continue
            stored = tuple(stage.row(position) for stage in self._stages)
            works.append(ChainWork(position, stored))
        return tuple(works)

    def expected(self, work: ChainWork) -> list[tuple[str, Reason]]:
        """The stages a chain will run at most, and why."""
        fields = self._inputs.rows.row(work.position, named=True)
        stale = self._stale_stages(work.position, fields)
        return [(self._specs[stage].view, reason) for stage, reason in stale]

    def _has_failed(self, position: int, stage: int) -> bool:
        row = self._stages[stage].row(position)
        return row is not None and row.answer is None

    def _stale_stages(self, position: int, fields: Mapping[str, object]) -> list[tuple[int, Reason]]:
        events = self._inputs.events_digest(position)
        digests: dict[tuple[str, ...], str] = {}
        answers: list[str | None] = []
        stale: dict[int, Reason] = {}
        for index, spec in enumerate(self._specs):
            if spec.reads not in digests:
                digests[spec.reads] = input_digest(fields, spec.reads, events)
            row = self._stages[index].row(position)
            upstream = self._upstream[index]
            pending = any(u in stale for u in upstream)
            wanted = row_fingerprint(digests[spec.reads], [answers[u] for u in upstream])
            reason = self._why(index, row, position, digests[spec.reads], None if pending else wanted)
            if reason is not None:
                stale[index] = reason
            answers.append(answer_digest(row.answer) if row and row.answer is not None else None)
        return list(stale.items())

    def _why(
        self, index: int, row: StoredRow | None, position: int, inputs: str, wanted: str | None
    ) -> Reason | None:
        """Why a row is stale; ``wanted`` is the fingerprint it should have, None while upstream is stale."""
        if row is None:
            known_elsewhere = self._inputs.ids[position] in self._stages[index].other_version_ids
            return "spec changed" if known_elsewhere else "new"
        if not same_inputs(row.fingerprint, inputs):
            return self._changed(index, row, position)
        if row.fingerprint != wanted:
            return "upstream changed"
        return "failed" if self._retry_failed and row.answer is None else None

    def _changed(self, index: int, row: StoredRow, position: int) -> Reason:
        fields = self._inputs.rows.row(position, named=True)
        now = field_digests(fields, self._specs[index].reads, self._inputs.events_digest(position))
        names = ", ".join(changed_fields(row.field_digests, now))
        return f"{_FIELDS_CHANGED}: {names}" if names else _FIELDS_CHANGED

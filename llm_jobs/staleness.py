"""Which chains are stale, stage by stage, and why.

A row is stale if its fingerprint is not the one its inputs give now. Whether the stages behind a stale one
are stale as well depends on the new text, so they count as stale at most.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from featurestore.spec import TextSpec
from llm_jobs.inputs import EntityInputs
from llm_jobs.prompt import EVENTS
from llm_jobs.specs import (
    answer_digest,
    changed_fields,
    field_digests,
    input_digest,
    row_fingerprint,
    same_inputs,
    stored_event_marks,
)
from llm_jobs.stored_rows import StoredRow, StoredStage

Reason: TypeAlias = str
"""``new``, ``spec changed``, ``upstream changed``, ``failed``, or ``fields changed: title, brand``."""

_FIELDS_CHANGED: Final = "fields changed"
_EVENTS_CHANGED: Final = f"{_FIELDS_CHANGED}: {EVENTS}"


@dataclass(frozen=True, slots=True)
class StaleChain:
    """An entity with something to do.

    Attributes:
        position: Of the entity in the plan's inputs.
        entity_id: External id.
        stored: The stored row of every stage, if there is one.
        reasons: The stages it will run at most, in order, and why.
    """

    position: int
    entity_id: str
    stored: tuple[StoredRow | None, ...]
    reasons: tuple[tuple[str, Reason], ...]

    @property
    def only_events_changed(self) -> bool:
        """Whether all its texts are there and agree, and nothing but the events they read has changed."""
        return len(self.reasons) == len(self.stored) and all(
            reason == _EVENTS_CHANGED for _, reason in self.reasons
        )

    @property
    def event_marks(self) -> tuple[str, ...] | None:
        """Marks of the events that its rows read; None if they disagree, do not say, or are not there."""
        marks = {stored_event_marks(row.field_digests) for row in self.stored if row is not None}
        return marks.pop() if len(marks) == 1 else None

    @property
    def run_id(self) -> str:
        """The run that wrote its first row; empty if it has none."""
        return next((row.run_id for row in self.stored if row is not None), "")


def find_stale(
    specs: Sequence[TextSpec],
    stages: Sequence[StoredStage],
    inputs: EntityInputs,
    *,
    retry_failed: bool,
) -> Iterator[StaleChain]:
    """Chains with something to do, in the order of the inputs.

    Args:
        specs: The prompt's stages, in order.
        stages: What is stored of each.
        inputs: The entities.
        retry_failed: Failed rows count as stale, and only chains whose first stale row has failed are found.
    """
    walk = _ChainWalk(specs, stages, inputs, retry_failed=retry_failed)
    for position, fields in enumerate(inputs.rows.iter_rows(named=True)):
        stored = tuple(stage.row(position) for stage in stages)
        stale = walk.stale_stages(position, stored, fields)
        if not stale or (retry_failed and not _has_failed(stored[next(iter(stale))])):
            continue
        reasons = tuple((specs[index].view, reason) for index, reason in stale.items())
        yield StaleChain(position, inputs.ids[position], stored, reasons)


def _has_failed(row: StoredRow | None) -> bool:
    return row is not None and row.answer is None


class _ChainWalk:
    """Walks the chain of one entity after the other over its stored rows."""

    def __init__(
        self,
        specs: Sequence[TextSpec],
        stages: Sequence[StoredStage],
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

    def stale_stages(
        self, position: int, stored: Sequence[StoredRow | None], fields: Mapping[str, object]
    ) -> dict[int, Reason]:
        """Stages that are stale at most, in order, and why."""
        events = self._inputs.events_digest(position)
        digests: dict[tuple[str, ...], str] = {}
        answers: list[str | None] = []
        stale: dict[int, Reason] = {}
        for index, (spec, row) in enumerate(zip(self._specs, stored, strict=True)):
            if spec.reads not in digests:
                digests[spec.reads] = input_digest(fields, spec.reads, events)
            upstream = self._upstream[index]
            pending = any(u in stale for u in upstream)
            wanted = row_fingerprint(digests[spec.reads], [answers[u] for u in upstream])
            reason = self._why(index, row, position, digests[spec.reads], None if pending else wanted)
            if reason is not None:
                stale[index] = reason
            answers.append(answer_digest(row.answer) if row and row.answer is not None else None)
        return stale

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
        now = field_digests(fields, self._specs[index].reads, self._inputs.event_marks(position))
        names = ", ".join(changed_fields(row.field_digests, now))
        return f"{_FIELDS_CHANGED}: {names}" if names else _FIELDS_CHANGED

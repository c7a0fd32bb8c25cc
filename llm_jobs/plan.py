"""What a generation has to do: which chains start at which stage, and why; and which may wait."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from featurestore.spec import TextSpec
from featurestore.store import Store
from llm_jobs.due import FEW_EVENTS, OUTSIDE, OVER_LIMIT, DuePolicy, changed_share, read_held_out, written_at
from llm_jobs.inputs import EntityInputs, all_ids, load_inputs
from llm_jobs.prompt import Prompt
from llm_jobs.staleness import Reason, StaleChain, find_stale
from llm_jobs.stored_rows import StoredRow, load_stage


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
        inputs: The entities, and which of them are considered.
        works: Chains to run, in ascending id order.
        reasons: For each stage, rows at most by reason; stages without work have none.
        vanished: For each table, ids whose entity is no longer in the source.
        retry_failed: Whether failed rows count as stale.
        put_off: Stale entities that are left for later: id → why (see `llm_jobs.due`).
        still_training: Of these, the ones with texts that read nothing but what the prompt may read now.
        next_due: When the first of them will be due for its age, whatever else happens; None if none will.
    """

    inputs: EntityInputs
    works: tuple[ChainWork, ...]
    reasons: Mapping[str, Mapping[Reason, int]]
    vanished: Mapping[str, tuple[str, ...]]
    retry_failed: bool
    put_off: Mapping[str, Reason] = field(default_factory=dict[str, Reason])
    still_training: frozenset[str] = frozenset()
    next_due: datetime | None = None

    @property
    def num_entities(self) -> int:
        """Entities considered."""
        return self.inputs.num_selected

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
    due: DuePolicy | None = None,
) -> GenerationPlan:
    """Compare what is stored with what the sources say now. Reads all stored answers of the prompt once.

    Args:
        store: Sources and texts.
        prompt: The prompt, with its limits applied.
        specs: Its stages' specs, in order (see `llm_jobs.specs.stage_specs`).
        limit: Chains at most, the first in id order.
        where: Only entities that meet this condition (see `llm_jobs.inputs.load_inputs`).
        only_failed: Only entities whose first stale or failed stage is a failed row.
        due: Which stale texts may wait. With a policy, texts that read events which are held out now are
            written again even of entities that ``where`` leaves out; without one, all selected texts are due.

    Raises:
        InputError: If nothing was ingested.
        UsageError: If the prompt reads unknown fields, or ``where`` cannot be evaluated.
    """
    inputs = load_inputs(store, prompt, where=where)
    known = all_ids(store, prompt.entity)
    stages = [load_stage(store, spec, inputs.ids) for spec in specs]
    stale = find_stale(specs, stages, inputs, retry_failed=only_failed)
    chains = [chain for chain in stale if inputs.selects(chain.entity_id) or any(chain.stored)]
    sorting = _Sorting(store, inputs, due)
    works = sorting.works(chains, limit)
    vanished = {stage.table: gone for stage in stages if (gone := tuple(sorted(stage.stored_ids - known)))}
    reasons = {spec.view: Counter[Reason]() for spec in specs}
    for chain in works:
        for view, reason in chain.reasons:
            reasons[view][reason] += 1
    return GenerationPlan(
        inputs,
        tuple(ChainWork(chain.position, chain.stored) for chain in works),
        reasons,
        vanished,
        only_failed,
        sorting.put_off,
        sorting.still_training,
        sorting.next_due,
    )


class _Sorting:
    """Tells chains that are due from those that may wait."""

    def __init__(self, store: Store, inputs: EntityInputs, policy: DuePolicy | None) -> None:
        self._store = store
        self._inputs = inputs
        self._policy = policy
        self._now = datetime.now(UTC)
        self.put_off: dict[str, Reason] = {}
        self.still_training: frozenset[str] = frozenset()
        self.next_due: datetime | None = None

    def works(self, chains: Sequence[StaleChain], limit: int | None) -> list[StaleChain]:
        """The chains to run; sets what became of the others."""
        found = {chain.entity_id: reason for chain in chains if (reason := self._why_not_now(chain))}
        held_out = self._read_held_out([chain for chain in chains if chain.entity_id in found])
        if self._policy is not None:
            found = {entity_id: why for entity_id, why in found.items() if entity_id not in held_out}
        due = [chain for chain in chains if chain.entity_id not in found]
        works, rest = due[:limit], due[limit:] if limit is not None else []
        self.put_off = found | {chain.entity_id: OVER_LIMIT for chain in rest}
        held_out |= self._read_held_out(rest)
        self.still_training = frozenset(self.put_off.keys() - held_out)
        self.next_due = min(
            (
                at
                for chain in chains
                if found.get(chain.entity_id) == FEW_EVENTS
                if (at := self._due_at(chain))
            ),
            default=None,
        )
        return works

    def _why_not_now(self, chain: StaleChain) -> Reason | None:
        if not self._inputs.selects(chain.entity_id):
            return OUTSIDE
        if self._policy is None or not chain.only_events_changed:
            return None
        share = changed_share(chain.event_marks, self._inputs.event_marks(chain.position) or ())
        written = written_at(chain.run_id)
        return FEW_EVENTS if self._policy.defers(share, self._now - written if written else None) else None

    def _read_held_out(self, chains: Sequence[StaleChain]) -> set[str]:
        event_set = next((history.event_set for history in self._inputs.histories.values()), None)
        if event_set is None:
            return set()
        marks = {chain.entity_id: chain.event_marks for chain in chains}
        return read_held_out(self._store, event_set, marks)

    def _due_at(self, chain: StaleChain) -> datetime | None:
        return self._policy.due_at(written_at(chain.run_id)) if self._policy is not None else None

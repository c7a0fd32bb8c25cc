"""A plan cut into shards: sets of entities that one engine works through, out of the store's sight.

A shard holds its entities' inputs and stored rows, so that a worker on another machine needs nothing else. It
may be run more than once; what its attempts have in common is the shard's id.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from featurestore.ids import digest, digest_texts
from llm_jobs.answers import Answers
from llm_jobs.chain import ChainRunner, WriteRow
from llm_jobs.engine import LLMEngine
from llm_jobs.inputs import EntityInputs
from llm_jobs.outcomes import Tally
from llm_jobs.plan import ChainWork, GenerationPlan
from llm_jobs.runner import ChainJob

DEFAULT_SHARD_SIZE: Final = 4000
"""Entities: minutes of work for one engine, and long enough that its first and last requests, when the engine
is not full, cost little (docs/scaling.md)."""
_ID_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a plan.

    Attributes:
        shard_id: Its number and a digest of its entities' ids: the same plan is always cut in the same way.
        plan: These entities only, as a plan of its own, with neither reasons nor vanished rows.
    """

    shard_id: str
    plan: GenerationPlan

    @property
    def num_chains(self) -> int:
        """Entities of the shard."""
        return len(self.plan.works)


@dataclass(slots=True)
class ShardResult:
    """What came of an attempt that ran to its end.

    Attributes:
        tally: Counts of rows, requests and tokens.
        engine_class: Who answered.
        engine_seconds: How long it took.
    """

    tally: Tally = field(default_factory=Tally)
    engine_class: str = ""
    engine_seconds: float = 0.0


def cut_plan(plan: GenerationPlan, size: int = DEFAULT_SHARD_SIZE) -> Iterator[Shard]:
    """The shards of a plan, each made when it is asked for.

    Entities of equal inputs come into the same shard, where their request is computed once.

    Args:
        plan: What to do.
        size: Entities of a shard at most.
    """
    works = _equal_ones_together(plan)
    for number, start in enumerate(range(0, len(works), size)):
        part = _part(plan, works[start : start + size])
        name = digest_texts(part.inputs.ids)[:_ID_DIGITS]
        yield Shard(f"{number:06d}-{name}", part)


def run_shard(
    job: ChainJob, shard: Shard, engine: LLMEngine, write_row: WriteRow, answers: Answers | None = None
) -> ShardResult:
    """Run the chains of a shard. The skip budget is left to whoever sees all shards.

    Args:
        job: What holds for all chains of the run.
        shard: Which chains.
        engine: Who answers.
        write_row: Takes each finished row.
        answers: What is known already; None: what this shard has asked.

    Raises:
        SetupError: If the engine does not start, or dies.
    """
    started = time.monotonic()
    chains = ChainRunner(
        job.prompt,
        job.specs,
        shard.plan,
        engine,
        run_id=job.run_id,
        limits=replace(job.limits, skip_budget=1.0),
        write_row=write_row,
        answers=answers,
    )
    chains.run(lambda: None)
    # An engine that died with its last requests failed them; it says so when it is given more, and then
    # those failures are not answers.
    engine.submit([])
    return ShardResult(chains.tally, engine.info.engine_class, time.monotonic() - started)


def add_tally(total: Tally, part: Tally) -> None:
    """Add the counts of a part of a run to those of the whole."""
    for view, outcomes in part.outcomes.items():
        total.outcomes.setdefault(view, Counter()).update(outcomes)
    for name in Tally.__slots__:
        if name != "outcomes":
            setattr(total, name, getattr(total, name) + getattr(part, name))


def _equal_ones_together(plan: GenerationPlan) -> list[ChainWork]:
    groups: dict[str, list[ChainWork]] = {}
    for work in plan.works:
        groups.setdefault(_content(plan.inputs, work.position), []).append(work)
    return [work for group in groups.values() for work in group]


def _content(inputs: EntityInputs, position: int) -> str:
    _, *fields = inputs.rows.row(position)
    return digest([fields, inputs.events_digest(position)])


def _part(plan: GenerationPlan, works: Sequence[ChainWork]) -> GenerationPlan:
    ordered = sorted(works, key=lambda work: work.position)
    positions = [work.position for work in ordered]
    ids = tuple(plan.inputs.ids[position] for position in positions)
    histories = {i: plan.inputs.histories[i] for i in ids if i in plan.inputs.histories}
    return replace(
        plan,
        inputs=EntityInputs(ids, plan.inputs.rows[positions], histories),
        works=tuple(replace(work, position=number) for number, work in enumerate(ordered)),
        reasons={},
        vanished={},
        put_off={},
        still_training=frozenset(),
    )

"""What the starting process makes of shard reports: rows, counts, and the decision to go on."""

import json
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from generation_world import catalogue, item_cot, put_items

from featurestore.errors import ShardsFailedError, SkipBudgetError
from featurestore.jobs.answers import AnswerCache
from featurestore.jobs.committer import CommitTarget, Committer
from featurestore.jobs.lock import FeatureLock
from featurestore.schema import TEXTS
from featurestore.spec import table_name
from featurestore.stores.memory import MemoryStore
from llm_jobs.chain import ChainLimits
from llm_jobs.engine import LLMEngine
from llm_jobs.engines import OpenModel
from llm_jobs.engines.echo import EchoEngine, EchoOptions
from llm_jobs.models import find_model, model_spec
from llm_jobs.outcomes import Tally
from llm_jobs.plan import plan_generation
from llm_jobs.runner import ChainJob, Standing
from llm_jobs.runners.arrivals import Arrivals
from llm_jobs.runners.shard_worker import EngineFailedError, ShardReport, ShardWorker, failed_shard
from llm_jobs.shards import Shard, ShardResult, cut_plan
from llm_jobs.specs import stage_specs

ECHO = find_model("echo", {})
SPECS = stage_specs(item_cot(), ECHO, model_spec(ECHO))
JOB = ChainJob(item_cot(), SPECS, "20261121T000000000-abcdef", ChainLimits(skip_budget=0.5))


class World:
    """Ten items in five shards, and what takes their rows."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        put_items(self.store, catalogue(10))
        self.shards = list(cut_plan(plan_generation(self.store, item_cot(), SPECS), 2))
        self.standing = Standing()
        self.answers = AnswerCache(self.store, run_id=JOB.run_id)
        self.folder = folder

    def worker(self, engine: LLMEngine | None = None) -> ShardWorker:
        @contextmanager
        def open_engine() -> Generator[OpenModel]:
            opened = OpenModel(ECHO, model_spec(ECHO), engine or EchoEngine())
            yield opened
            opened.engine.close()

        return ShardWorker(JOB, open_engine, self.store)

    def committer(self) -> Committer:
        locks = [FeatureLock(self.store.objects, table_name(spec)) for spec in SPECS]
        targets = [
            CommitTarget(spec, TEXTS, lock.__enter__()) for spec, lock in zip(SPECS, locks, strict=True)
        ]
        return Committer(self.store, targets, folder=self.folder, run_id=JOB.run_id)

    def arrivals(self, committer: Committer, num_chains: int = 10) -> Arrivals:
        return Arrivals(
            JOB, num_chains, committer, self.standing, answers=self.answers, objects=self.store.objects
        )

    def num_rows(self) -> int:
        return sum(
            version.num_rows for spec in SPECS if (version := self.store.latest(table_name(spec))) is not None
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _failed(shard: Shard) -> ShardReport:
    return failed_shard(shard, 3, "SetupError: gone")


def test_rows_and_counts_arrive_once_though_a_report_comes_twice(world: World) -> None:
    worker = world.worker()
    with world.committer() as committer:
        arrivals = world.arrivals(committer)
        for shard in world.shards:
            report = ShardReport.model_validate_json(worker.run(shard, 1).model_dump_json())
            arrivals.take(report)
        arrivals.take_the_rest()
        arrivals.finish()
    assert world.num_rows() == 30
    assert (world.standing.num_done, world.standing.tally.requests) == (10, 30)
    assert world.standing.engine_class == "echo-1-cpu"
    assert world.standing.tally.outcomes["fused"] == {"ok": 10}
    assert world.store.objects.list("segments/") == []


def test_shards_that_were_done_when_the_run_stopped_are_committed(world: World) -> None:
    world.worker().run(world.shards[0], 1)
    with world.committer() as committer:
        world.arrivals(committer).take_the_rest()
    assert world.num_rows() == 6


def test_answers_of_a_shard_reach_the_cache_of_all_jobs(world: World) -> None:
    worker = world.worker()
    with world.committer() as committer, world.answers:
        arrivals = world.arrivals(committer)
        for shard in world.shards:
            arrivals.take(worker.run(shard, 1))
    again = AnswerCache(world.store, run_id="20261122T000000000-abcdef")
    fused = world.store.read(table_name(SPECS[-1]), columns=["request_key", "answer"]).to_pylist()
    known = [again.find(row["request_key"]) for row in fused]
    assert [json.loads(found.text) for found in known if found] == [
        json.loads(row["answer"]) for row in fused
    ]


def test_a_repeated_attempt_gets_the_receipt_of_the_first(world: World) -> None:
    worker = world.worker()
    first, second = worker.run(world.shards[0], 1), worker.run(world.shards[0], 2)
    assert first.receipt == second.receipt


def test_failed_shards_are_named_at_the_end(world: World) -> None:
    worker = world.worker()
    with world.committer() as committer:
        arrivals = world.arrivals(committer)
        arrivals.take(worker.run(world.shards[0], 1))
        arrivals.take(_failed(world.shards[1]))
        with pytest.raises(ShardsFailedError, match=r"1 shards failed, the others are done: 000001-\w+ \(2 "):
            arrivals.finish()


def test_too_many_failed_shards_stop_the_run(world: World) -> None:
    worker = world.worker()
    with world.committer() as committer:
        arrivals = world.arrivals(committer)
        arrivals.take(worker.run(world.shards[0], 1))
        arrivals.take(_failed(world.shards[1]))
        arrivals.take(_failed(world.shards[2]))
        with pytest.raises(ShardsFailedError, match="3 shards failed, the run was stopped"):
            arrivals.take(_failed(world.shards[3]))


def test_three_failures_before_any_success_stop_a_run_of_any_size(world: World) -> None:
    with world.committer() as committer:
        arrivals = world.arrivals(committer, 1_000_000)
        arrivals.take(_failed(world.shards[0]))
        arrivals.take(_failed(world.shards[1]))
        with pytest.raises(ShardsFailedError, match="SetupError: gone"):
            arrivals.take(_failed(world.shards[2]))


def test_the_skip_budget_counts_over_all_shards(world: World) -> None:
    receipt = world.worker().run(world.shards[0], 1).receipt
    tally = Tally(outcomes={"forward": Counter(no_json=30)}, num_asked=30, num_failed=30)
    report = ShardReport(
        shard_id="s", num_chains=2, attempts=1, receipt=receipt, result=ShardResult(tally, "echo-1-cpu", 1.0)
    )
    with world.committer() as committer, pytest.raises(SkipBudgetError, match="30 of 30 answers failed"):
        world.arrivals(committer).take(report)


def test_a_failed_engine_is_closed_and_its_rows_are_dropped(world: World) -> None:
    class Broken(EchoEngine):
        closed = False

        def poll(self, timeout: float) -> list:
            raise RuntimeError("the engine fell silent")

        def close(self) -> None:
            self.closed = True

    engine = Broken(EchoOptions())
    with pytest.raises(EngineFailedError, match="RuntimeError: the engine fell silent"):
        world.worker(engine).run(world.shards[0], 1)
    assert engine.closed
    assert world.store.objects.list("segments/") == []

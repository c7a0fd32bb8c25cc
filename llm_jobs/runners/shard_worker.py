"""What a worker process does with a shard: run it on its engine, write what came out, and say so.

An engine that fails takes the attempt with it: nothing of the attempt is kept, and whoever hands out the
shards repeats it in a new process.
"""

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from featurestore.errors import FeatureStoreError
from featurestore.jobs.answers import AnswerCache, CachedAnswer
from featurestore.jobs.receipts import Receipt, write_segment
from featurestore.spec import Frozen
from featurestore.store import Store
from llm_jobs.answers import RecentAnswers
from llm_jobs.engine import LLMEngine
from llm_jobs.engines import OpenModel
from llm_jobs.runner import ChainJob
from llm_jobs.shards import Shard, ShardResult, run_shard

OpenEngine = Callable[[], AbstractContextManager[OpenModel]]
"""Opens a model with its engine in a worker's process, as `llm_jobs.engines.open_model` does."""


class ShardReport(Frozen):
    """What became of a shard. It travels as one JSON string: of one type, whatever happened."""

    shard_id: str
    num_chains: int
    attempts: int
    receipt: Receipt | None = None
    """Of the segment that holds its rows; None if the shard failed."""
    result: ShardResult | None = None
    error: str = ""
    """Why it failed."""


class EngineFailedError(FeatureStoreError):
    """An engine did not start or did not last: this process should end, and another repeat the shard."""


class ShardWorker:
    """Runs shards one after another, on one engine.

    Args:
        job: What holds for all shards.
        open_engine: Called for the first shard.
        store: Takes segments and receipts among its objects; holds the answers of earlier jobs.
    """

    def __init__(self, job: ChainJob, open_engine: OpenEngine, store: Store) -> None:
        self._job = job
        self._open_engine = open_engine
        self._objects = store.objects
        self._answers = _AnswersSoFar(AnswerCache(store, run_id=job.run_id))
        self._engine: LLMEngine | None = None
        self._opened = contextlib.ExitStack()

    def run(self, shard: Shard, attempt: int) -> ShardReport:
        """Run a shard and write its rows.

        Args:
            shard: What to do.
            attempt: Its number, from 1: every attempt writes a segment of its own.

        Returns:
            A report with a receipt; or one with an error, if the rows cannot be written.

        Raises:
            EngineFailedError: If the engine does not start or does not last. It is closed then.
        """
        rows: list[tuple[str, Mapping[str, Any]]] = []
        try:
            self._engine = self._engine or self._opened.enter_context(self._open_engine()).engine
            result = run_shard(
                self._job,
                shard,
                self._engine,
                write_row=lambda table, row: rows.append((table, row)),
                answers=self._answers,
            )
        except Exception as error:
            self.close()
            raise EngineFailedError(f"{type(error).__name__}: {error}") from error
        try:
            receipt = write_segment(
                self._objects,
                self._job.run_id,
                shard.shard_id,
                str(attempt),
                rows,
                answers=self._answers.take_new(),
            )
        except FeatureStoreError as error:
            return failed_shard(shard, attempt, f"{type(error).__name__}: {error}")
        return ShardReport(
            shard_id=shard.shard_id,
            num_chains=shard.num_chains,
            attempts=attempt,
            receipt=receipt,
            result=result,
        )

    def close(self) -> None:
        """Close the engine, if there is one; whatever it says to that."""
        self._engine = None
        with contextlib.suppress(Exception):
            self._opened.close()


class _AnswersSoFar:
    """The store's answers, and this process's own. Those go into its segments: many would queue to write."""

    def __init__(self, stored: AnswerCache) -> None:
        self._stored = stored
        self._recent = RecentAnswers()
        self._new: dict[str, CachedAnswer] = {}

    def find(self, key: str) -> CachedAnswer | None:
        return self._recent.find(key) or self._stored.find(key)

    def add(self, key: str, answer: CachedAnswer) -> None:
        self._recent.add(key, answer)
        self._new[key] = answer

    def take_new(self) -> dict[str, CachedAnswer]:
        new, self._new = self._new, {}
        return new


def failed_shard(shard: Shard, attempts: int, error: str) -> ShardReport:
    """The report of a shard that is given up."""
    return ShardReport(shard_id=shard.shard_id, num_chains=shard.num_chains, attempts=attempts, error=error)

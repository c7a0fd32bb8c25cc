"""What the process that started a spread run does with its shards: commit, count, decide whether to go on."""

import time
from typing import Final

from featurestore.errors import ShardsFailedError
from featurestore.jobs.answers import AnswerCache
from featurestore.jobs.committer import Committer
from featurestore.jobs.receipts import Receipt, read_answers, read_receipts
from featurestore.store import ObjectStore
from llm_jobs.runner import ChainJob, Standing
from llm_jobs.runners.shard_worker import ShardReport
from llm_jobs.shards import add_tally

_HOPELESS_SHARDS: Final = 3
"""Shards that are given up before any succeeded: the cause is not in the shards."""
_NAMED_SHARDS: Final = 5


class Arrivals:
    """Takes the reports of one run, in any order.

    Args:
        job: What holds for all shards.
        num_chains: Entities of the plan.
        committer: Gets the rows.
        standing: Kept current.
        answers: Gets what the engines answered.
        objects: Of the store: where segments lie.
    """

    def __init__(
        self,
        job: ChainJob,
        num_chains: int,
        committer: Committer,
        standing: Standing,
        *,
        answers: AnswerCache,
        objects: ObjectStore,
    ) -> None:
        self._run_id = job.run_id
        self._budget = job.limits.skip_budget
        self._num_chains = num_chains
        self._committer = committer
        self._standing = standing
        self._answers = answers
        self._objects = objects
        self._started_at: float | None = None
        self._taken: set[str] = set()
        self._failed: list[ShardReport] = []

    def take(self, report: ShardReport) -> None:
        """Take a report in.

        Raises:
            SkipBudgetError: If too many rows have failed by now.
            ShardsFailedError: If too many shards were given up, or three before any succeeded.
            StoreError: If the rows cannot be read or stored.
        """
        if report.receipt is None or report.result is None:
            self._failed.append(report)
            self._require_hope()
            return
        self._add(report.receipt)
        self._committer.tick()
        self._answers.tick()
        standing, result, now = self._standing, report.result, time.monotonic()
        started = now - result.engine_seconds
        self._started_at = started if self._started_at is None else min(started, self._started_at)
        add_tally(standing.tally, result.tally)
        standing.num_done += report.num_chains
        standing.engine_seconds = now - self._started_at
        classes = {result.engine_class, *(standing.engine_class or result.engine_class).split(", ")}
        standing.engine_class = ", ".join(sorted(classes))
        if standing.tally.is_over(self._budget):
            raise standing.tally.budget_error(self._budget)

    def take_the_rest(self) -> None:
        """Commit shards that were done when the run was stopped, and that nobody has counted."""
        for receipt in read_receipts(self._objects, self._run_id):
            self._add(receipt)

    def finish(self) -> None:
        """Tell of the shards that were given up.

        Raises:
            ShardsFailedError: If there are any.
        """
        if self._failed:
            raise self._error("the others are done")

    def _add(self, receipt: Receipt) -> None:
        if receipt.shard_id not in self._taken:
            self._taken.add(receipt.shard_id)
            self._committer.add_segment(receipt)
            for key, answer in read_answers(self._objects, receipt).items():
                self._answers.add(key, answer)

    def _require_hope(self) -> None:
        lost = sum(report.num_chains for report in self._failed)
        nothing_works = not self._standing.num_done and len(self._failed) >= _HOPELESS_SHARDS
        if nothing_works or lost > self._budget * self._num_chains:
            raise self._error("the run was stopped")

    def _error(self, consequence: str) -> ShardsFailedError:
        named = "; ".join(
            f"{report.shard_id} ({report.num_chains} entities, {report.attempts} attempts): {report.error}"
            for report in self._failed[:_NAMED_SHARDS]
        )
        more = f"; and {extra} more" if (extra := len(self._failed) - _NAMED_SHARDS) > 0 else ""
        return ShardsFailedError(
            f"{len(self._failed)} shards failed, {consequence}: {named}{more}",
            hint="What was committed is kept. Run the command again: it does what is missing.",
        )

"""Runs a plan in this process, on one engine."""

import time
from collections.abc import Callable

from featurestore.jobs.answers import AnswerCache
from featurestore.jobs.committer import Committer
from llm_jobs.chain import ChainRunner
from llm_jobs.engine import LLMEngine
from llm_jobs.plan import GenerationPlan
from llm_jobs.runner import ChainJob, Standing


class LocalRunner:
    """Implements `llm_jobs.runner.Runner` on one engine.

    Args:
        engine: Who answers. It starts with the run, if it has not.
    """

    def __init__(self, engine: LLMEngine) -> None:
        self._engine = engine

    @property
    def num_engines(self) -> int:
        """See `Runner.num_engines`."""
        return 1

    def run(
        self,
        job: ChainJob,
        plan: GenerationPlan,
        committer: Committer,
        standing: Standing,
        *,
        answers: AnswerCache,
        after_step: Callable[[], None],
    ) -> None:
        """See `Runner.run`."""
        chains = ChainRunner(
            job.prompt,
            job.specs,
            plan,
            self._engine,
            run_id=job.run_id,
            limits=job.limits,
            write_row=committer.add,
            answers=answers,
        )
        standing.tally = chains.tally
        standing.engine_class = self._engine.info.engine_class
        started = time.monotonic()

        def after_poll() -> None:
            committer.tick()
            answers.tick()
            standing.num_done, standing.in_flight = chains.num_done, chains.num_in_flight
            standing.engine_seconds = time.monotonic() - started
            after_step()

        try:
            chains.run(after_poll)
        finally:
            standing.engine_seconds = time.monotonic() - started

"""The runner boundary: where the chains of a plan are run, on this machine or on many.

Runners: `llm_jobs.runners.local` and `llm_jobs.runners.ray_data`. Work may run more than once; its rows reach
the store once, because all of them go through the one `featurestore.jobs.committer.Committer` of the job.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from featurestore.jobs.answers import AnswerCache
from featurestore.jobs.committer import Committer
from featurestore.spec import TextSpec
from llm_jobs.chain import ChainLimits
from llm_jobs.outcomes import Tally
from llm_jobs.plan import GenerationPlan
from llm_jobs.prompt import Prompt


@dataclass(frozen=True, slots=True)
class ChainJob:
    """What holds for all chains of a run, wherever they are run.

    Attributes:
        prompt: The prompt, with its limits applied.
        specs: Its stages' specs, in order.
        run_id: Goes into every row.
        limits: When to give up.
    """

    prompt: Prompt
    specs: Sequence[TextSpec]
    run_id: str
    limits: ChainLimits


@dataclass(slots=True)
class Standing:
    """How far a run has come. Its runner keeps it current, also when it ends with an error.

    Attributes:
        tally: Counts of rows, requests and tokens.
        num_done: Chains that reached their end.
        in_flight: Requests that the engines have and have not answered.
        engine_class: See `llm_jobs.engine.EngineInfo.engine_class`; None until an engine is there.
        engine_seconds: From the first engine's readiness to the last answer.
    """

    tally: Tally = field(default_factory=Tally)
    num_done: int = 0
    in_flight: int = 0
    engine_class: str | None = None
    engine_seconds: float = 0.0


class Runner(Protocol):
    """Runs the chains of a plan."""

    @property
    def num_engines(self) -> int:
        """Engines that work at the same time."""
        ...

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
        """Run every chain to its end, and hand every row to the committer.

        Args:
            job: What holds for all chains.
            plan: Which chains; not empty.
            committer: Takes the rows as they are finished; the runner calls its ``tick``.
            standing: Kept current.
            answers: What the jobs of the store have asked before; gets what this run asks.
            after_step: Called after the standing has changed, and at least once a second.

        Raises:
            SkipBudgetError: If too many rows fail.
            SetupError: If the engine cannot start.
        """
        ...

"""What the texts of one night may take together: all plans are added up before anything is asked.

The sum is what can be known then. Texts that read others are planned on what is stored, and may turn out to
be more when these have changed: each plan is checked once more, against what the ones before it have left.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from featurestore.errors import LockHeldError
from featurestore.jobs.committer import Committer
from featurestore.jobs.runcard import PlannedRun, new_run_id
from featurestore.refresh.pipeline import StageOutcome, Watch
from featurestore.store import Store
from llm_jobs.forecast import Forecast, forecast
from llm_jobs.generate import locked_texts
from llm_jobs.models import model_spec
from llm_jobs.plan import plan_generation
from llm_jobs.refresh_job import TextJob
from llm_jobs.specs import stage_specs
from llm_jobs.spending import Spending


class NightBudget:
    """Ceilings that the plans of a night use up, one after another.

    Args:
        spending: The price, and the ceilings for all of them.
    """

    def __init__(self, spending: Spending) -> None:
        self._spending = spending

    @property
    def spending(self) -> Spending:
        """The price and the ceilings, with what was taken so far."""
        return self._spending

    def take(self, planned: PlannedRun | None) -> None:
        """Count a plan that was carried out."""
        if planned is not None:
            tokens = planned.prompt_tokens + planned.output_tokens
            self._spending = self._spending.after(tokens=tokens, cost=planned.cost)


@dataclass(frozen=True, slots=True)
class BudgetStage:
    """All plans of the night against its ceilings; never skipped, for it asks nothing and writes nothing new.

    Rows that an interrupted run left in its log are stored first, so that they are not planned again. Costs
    the reading of every plan. Texts that another job writes count for nothing: they are left to it.
    """

    store: Store
    jobs: Sequence[TextJob]
    spending: Spending
    work_folder: Path
    watch: Watch
    name: str = "budget"

    def reads(self) -> Mapping[str, Any]:
        """Nothing that would tell whether a look at the plans is needed."""
        return {}

    def writes(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def run(self) -> StageOutcome:
        """Add up the plans.

        Raises:
            PlanTooExpensiveError: If they exceed a ceiling together, or the cost is bounded and unknown.
        """
        found: dict[str, Forecast] = {}
        with self.watch.progress(self.name) as progress:
            for done, job in enumerate(self.jobs):
                progress(done, len(self.jobs), job.prompt.name)
                foreseen = self._foresee(job)
                if foreseen is not None and foreseen.tokens.total:
                    found[job.prompt.name] = foreseen
            progress(len(self.jobs), len(self.jobs))
        tokens, cost = sum(each.tokens.total for each in found.values()), _sum_of_costs(found.values())
        parts = ", ".join(f"{name} {each.tokens.total:,}" for name, each in found.items())
        self.spending.check(tokens=tokens, cost=cost, what=f"the night (tokens: {parts})")
        by_feature = {name: each.tokens.total for name, each in found.items()}
        return StageOutcome(
            facts={"tokens": tokens, "cost": cost, "by_feature": by_feature}, again_at=datetime.now(UTC)
        )

    def _foresee(self, job: TextJob) -> Forecast | None:
        specs, options = stage_specs(job.prompt, job.entry, model_spec(job.entry)), job.options
        try:
            with locked_texts(self.store, specs) as targets:
                logs = self.work_folder / "logs"
                with Committer(self.store, targets, folder=logs, run_id=new_run_id()) as committer:
                    committer.recover()
                plan = plan_generation(
                    self.store,
                    job.prompt,
                    specs,
                    limit=options.limit,
                    where=options.where,
                    only_failed=options.only_failed,
                    due=options.due,
                )
        except LockHeldError:
            return None
        num_engines = job.runner.num_engines if job.runner is not None else 1
        return forecast(
            self.store,
            job.prompt,
            specs,
            plan,
            entry=job.entry,
            spending=self.spending,
            num_engines=num_engines,
        )


def _sum_of_costs(forecasts: Iterable[Forecast]) -> float | None:
    costs = [each.cost for each in forecasts]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None

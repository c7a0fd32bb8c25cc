"""What a generation did: the report for its caller and the run card for the store."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from featurestore.jobs.runcard import (
    PlannedRun,
    RunCard,
    RunStatus,
    library_versions,
    new_run_id,
    plan_errors,
    python_version,
)
from featurestore.progress import RunPhase, RunSnapshot
from featurestore.spec import TextSpec
from featurestore.version import product_version
from llm_jobs.forecast import Forecast, model_source, run_machine
from llm_jobs.job_graph import UpstreamTexts
from llm_jobs.machine import look_at_machine
from llm_jobs.runner import Standing
from llm_jobs.spending import Spending
from llm_jobs.weights import cache_folder


@dataclass(frozen=True, slots=True)
class GenerateReport:
    """What a generation did.

    Attributes:
        run_id: This run.
        feature: The prompt.
        model: Alias of the model.
        outcomes: Stage → ``ok`` or the reason of a failure → rows written.
        num_entities: Entities considered.
        num_chains: Of these, entities that had something to do.
        put_off: Entities with outdated texts that were left for later, by why (`llm_jobs.due`).
        next_due: When the first of them will be due for its age, ISO 8601; None if none will.
        recovered: Rows that an interrupted run had finished and not yet stored.
        deleted: Rows of entities that are gone.
        relabelled: Rows that got the current split's name, because the events they read are the same in it.
        recomputed: Rows written over an older row.
        requests: Requests the engine answered.
        reused: Answers that were known already, so that no request was made.
        prompt_tokens: Prompt tokens of the requests.
        cached_tokens: Prompt tokens that the engine had computed before.
        output_tokens: Tokens generated, reasoning included.
        seconds: Of the whole call.
        engine_seconds: From the engine's readiness to its last answer.
        cost: Of the whole call; None without a price.
        planned: What the plan foresaw; None if there was nothing to ask.
        stale_upstream: How current the texts are that the histories read; None if they read none.
    """

    run_id: str
    feature: str
    model: str
    outcomes: Mapping[str, Mapping[str, int]]
    num_entities: int = 0
    num_chains: int = 0
    put_off: Mapping[str, int] = field(default_factory=dict[str, int])
    next_due: str | None = None
    recovered: int = 0
    deleted: int = 0
    relabelled: int = 0
    recomputed: int = 0
    requests: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    engine_seconds: float = 0.0
    cost: float | None = None
    planned: PlannedRun | None = None
    stale_upstream: UpstreamTexts | None = None

    @property
    def num_stale(self) -> int:
        """Entities that were outdated or missing before the run, those that were left for later included."""
        return self.num_chains + sum(self.put_off.values())

    @property
    def tokens_per_second(self) -> float:
        """Output tokens per second of engine time."""
        return self.output_tokens / self.engine_seconds if self.engine_seconds else 0.0

    @property
    def actual(self) -> PlannedRun:
        """What happened, in the terms of the plan."""
        return PlannedRun(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.output_tokens,
            seconds=self.seconds,
            cost=self.cost,
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            **asdict(self),
            "planned": self.planned.model_dump() if self.planned is not None else None,
            "plan_errors": plan_errors(self.planned, self.actual),
            "num_stale": self.num_stale,
            "tokens_per_second": self.tokens_per_second,
        }


@dataclass(slots=True)
class RunState:
    """What is known of a run while it goes on."""

    feature: str
    model: str
    specs: Sequence[TextSpec]
    spending: Spending = field(default_factory=Spending)
    run_id: str = field(default_factory=new_run_id)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    num_entities: int = 0
    num_chains: int = 0
    put_off: Mapping[str, int] = field(default_factory=dict[str, int])
    next_due: datetime | None = None
    recovered: int = 0
    deleted: int = 0
    relabelled: int = 0
    forecast: Forecast | None = None
    num_engines: int = 1
    upstream: UpstreamTexts | None = None
    standing: Standing = field(default_factory=Standing)

    @property
    def did_something(self) -> bool:
        """Whether the store or the engine saw anything of this run."""
        changed = self.recovered or self.deleted or self.relabelled
        return bool(self.standing.tally.requests or self.standing.tally.outcomes or changed)

    @property
    def planned(self) -> PlannedRun | None:
        """What the plan foresaw, if there was anything to ask."""
        return self.forecast.as_planned() if self.forecast is not None and self.num_chains else None

    def snapshot(self, phase: RunPhase, error: BaseException | None = None) -> RunSnapshot:
        """Where the run stands.

        Args:
            phase: What it is at.
            error: What ended it.
        """
        tally, planned = self.standing.tally, self.planned
        return RunSnapshot(
            run_id=self.run_id,
            feature=self.feature,
            model=self.model,
            phase=phase,
            started_at=self.started_at.timestamp(),
            seconds=time.monotonic() - self.started,
            done=self.standing.num_done,
            total=self.num_chains,
            rows={view: dict(outcomes) for view, outcomes in tally.outcomes.items()},
            requests=tally.requests,
            in_flight=self.standing.in_flight if phase == "running" else 0,
            prompt_tokens=tally.prompt_tokens,
            cached_tokens=tally.cached_tokens,
            output_tokens=tally.output_tokens,
            engine_seconds=self.standing.engine_seconds,
            planned_tokens=planned.tokens if planned is not None else None,
            error=_told(error),
        )

    def report(self) -> GenerateReport:
        """The report so far."""
        tally, seconds = self.standing.tally, time.monotonic() - self.started
        return GenerateReport(
            run_id=self.run_id,
            feature=self.feature,
            model=self.model,
            outcomes={spec.view: dict(tally.outcomes.get(spec.view, {})) for spec in self.specs},
            num_entities=self.num_entities,
            num_chains=self.num_chains,
            put_off=dict(self.put_off),
            next_due=self.next_due.isoformat(timespec="seconds") if self.next_due is not None else None,
            recovered=self.recovered,
            deleted=self.deleted,
            relabelled=self.relabelled,
            recomputed=tally.recomputed,
            requests=tally.requests,
            reused=tally.reused,
            prompt_tokens=tally.prompt_tokens,
            cached_tokens=tally.cached_tokens,
            output_tokens=tally.output_tokens,
            seconds=seconds,
            engine_seconds=self.standing.engine_seconds,
            cost=self.spending.cost(seconds),
            planned=self.planned,
            stale_upstream=self.upstream,
        )

    def card(self, status: RunStatus, error: BaseException | None = None) -> RunCard:
        """The run card so far."""
        report = self.report()
        return RunCard(
            run_id=self.run_id,
            job="generate",
            status=status,
            started_at=self.started_at.isoformat(timespec="seconds"),
            seconds=report.seconds,
            engine_seconds=report.engine_seconds,
            num_engines=self.num_engines,
            feature=self.feature,
            model=self.model,
            model_source=model_source(self.specs[0].model),
            specs={spec.view: spec.digest for spec in self.specs},
            counts={view: dict(outcomes) for view, outcomes in report.outcomes.items()},
            num_entities=report.num_chains,
            requests=report.requests,
            reused=report.reused,
            prompt_tokens=report.prompt_tokens,
            cached_tokens=report.cached_tokens,
            output_tokens=report.output_tokens,
            planned=report.planned,
            cost=report.cost,
            price_per_gpu_hour=self.spending.price_per_gpu_hour,
            engine=self.standing.engine_class,
            machine=run_machine(look_at_machine(cache_folder())),
            error=_told(error),
            product_version=product_version(),
            python_version=python_version(),
            versions=library_versions(),
        )


def _told(error: BaseException | None) -> str | None:
    return f"{type(error).__name__}: {error}".rstrip(": ") if error is not None else None

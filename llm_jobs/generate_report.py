"""What a generation did: the report for its caller and the run card for the store."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from featurestore.jobs.runcard import RunCard, RunStatus, new_run_id, python_version
from featurestore.spec import TextSpec
from featurestore.version import product_version
from llm_jobs.outcomes import Tally


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
        recovered: Rows that an interrupted run had finished and not yet stored.
        deleted: Rows of entities that are gone.
        relabelled: Rows that got the current split's name, because the events they read are the same in it.
        recomputed: Rows written over an older row.
        requests: Requests the engine answered.
        prompt_tokens: Prompt tokens of these.
        cached_tokens: Prompt tokens that the engine had computed before.
        output_tokens: Tokens generated, reasoning included.
        seconds: Of the whole call.
        engine_seconds: From the engine's readiness to its last answer.
    """

    run_id: str
    feature: str
    model: str
    outcomes: Mapping[str, Mapping[str, int]]
    num_entities: int = 0
    num_chains: int = 0
    recovered: int = 0
    deleted: int = 0
    relabelled: int = 0
    recomputed: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    engine_seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Output tokens per second of engine time."""
        return self.output_tokens / self.engine_seconds if self.engine_seconds else 0.0


@dataclass(slots=True)
class RunState:
    """What is known of a run while it goes on."""

    feature: str
    model: str
    specs: Sequence[TextSpec]
    run_id: str = field(default_factory=new_run_id)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    num_entities: int = 0
    num_chains: int = 0
    recovered: int = 0
    deleted: int = 0
    relabelled: int = 0
    tally: Tally = field(default_factory=Tally)
    engine_class: str | None = None
    engine_seconds: float = 0.0

    @property
    def did_something(self) -> bool:
        """Whether the store or the engine saw anything of this run."""
        changed = self.recovered or self.deleted or self.relabelled
        return bool(self.tally.requests or self.tally.outcomes or changed)

    def report(self) -> GenerateReport:
        """The report so far."""
        tally = self.tally
        return GenerateReport(
            run_id=self.run_id,
            feature=self.feature,
            model=self.model,
            outcomes={spec.view: dict(tally.outcomes.get(spec.view, {})) for spec in self.specs},
            num_entities=self.num_entities,
            num_chains=self.num_chains,
            recovered=self.recovered,
            deleted=self.deleted,
            relabelled=self.relabelled,
            recomputed=tally.recomputed,
            requests=tally.requests,
            prompt_tokens=tally.prompt_tokens,
            cached_tokens=tally.cached_tokens,
            output_tokens=tally.output_tokens,
            seconds=time.monotonic() - self.started,
            engine_seconds=self.engine_seconds,
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
            feature=self.feature,
            specs={spec.view: spec.digest for spec in self.specs},
            counts={view: dict(outcomes) for view, outcomes in report.outcomes.items()},
            requests=report.requests,
            prompt_tokens=report.prompt_tokens,
            cached_tokens=report.cached_tokens,
            output_tokens=report.output_tokens,
            engine=self.engine_class,
            error=f"{type(error).__name__}: {error}".rstrip(": ") if error is not None else None,
            product_version=product_version(),
            python_version=python_version(),
        )

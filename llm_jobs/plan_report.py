"""One call that says what a generation would do, why, and what it would take. It changes nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featurestore.store import Store
from llm_jobs.engines import EngineOptions
from llm_jobs.entries import ModelEntry
from llm_jobs.forecast import Forecast, forecast
from llm_jobs.job_graph import UpstreamJob, UpstreamTexts, upstream_texts
from llm_jobs.machine import Machine, look_at_machine
from llm_jobs.models import model_spec
from llm_jobs.plan import plan_generation
from llm_jobs.prompt import Prompt
from llm_jobs.specs import stage_specs
from llm_jobs.spending import Spending
from llm_jobs.weights import cache_folder, memory_needed_gib


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """Whether a model fits where it would run.

    Attributes:
        where: ``GPU memory`` or ``memory``.
        needed_gib: What weights, cache and activations take of each device.
        free_gib: What is free of the first device.
    """

    where: str
    needed_gib: float
    free_gib: float

    @property
    def fits(self) -> bool:
        """Whether the model would start now."""
        return self.free_gib >= self.needed_gib


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a generation would do.

    Attributes:
        feature: The prompt.
        model: Alias of the model.
        num_entities: Entities considered.
        num_chains: Of these, entities that have something to do.
        reasons: Stage → why → rows to write at most.
        num_deleted: Rows of entities that are gone, to be deleted.
        forecast: Tokens, seconds and money.
        spending: The price and the ceilings.
        memory: Whether the model fits here; None of models that run elsewhere or are none.
        stale_upstream: How current the texts are that the histories read; None if they read none.
    """

    feature: str
    model: str
    num_entities: int
    num_chains: int
    reasons: Mapping[str, Mapping[str, int]]
    num_deleted: int
    forecast: Forecast
    spending: Spending
    memory: MemoryFit | None
    stale_upstream: UpstreamTexts | None = None

    def check_ceilings(self) -> None:
        """Refuse the plan if it exceeds a ceiling.

        Raises:
            PlanTooExpensiveError: As `Spending.check`.
        """
        self.spending.check(tokens=self.forecast.tokens.total, cost=self.forecast.cost)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        found, tokens = self.forecast, self.forecast.tokens
        return {
            "feature": self.feature,
            "model": self.model,
            "entities": self.num_entities,
            "chains": self.num_chains,
            "rows": {stage: dict(reasons) for stage, reasons in self.reasons.items()},
            "deleted": self.num_deleted,
            "prompt_tokens": tokens.prompt,
            "cached_tokens": tokens.cached,
            "output_tokens": tokens.output,
            "output_tokens_at_most": tokens.output_at_most,
            "stages": [asdict(stage) for stage in tokens.stages],
            "counted_by": tokens.counted_by,
            "sampled_entities": tokens.num_sampled,
            "speed": asdict(found.speed) if found.speed is not None else None,
            "seconds": found.seconds,
            "cost": found.cost,
            "price_per_gpu_hour": self.spending.price_per_gpu_hour,
            "gpus": self.spending.num_gpus,
            "memory": {**asdict(self.memory), "fits": self.memory.fits} if self.memory is not None else None,
            "stale_upstream": asdict(self.stale_upstream) if self.stale_upstream is not None else None,
        }


def report_plan(
    store: Store,
    prompt: Prompt,
    entry: ModelEntry,
    *,
    limit: int | None = None,
    where: str | None = None,
    only_failed: bool = False,
    spending: Spending | None = None,
    engine: EngineOptions | None = None,
    upstream: UpstreamJob | None = None,
) -> PlanReport:
    """Plan a generation and foresee what it takes; see `llm_jobs.plan.plan_generation`.

    Args:
        store: Sources, texts and run cards.
        prompt: With its limits applied.
        entry: Who would write.
        limit: Stale entities at most, the first in id order.
        where: Only entities that meet this polars SQL condition.
        only_failed: Only entities whose first stale or failed stage is a failed row.
        spending: The price and the ceilings, which are not checked here.
        engine: How the model would run on this machine.
        upstream: The job whose texts the prompt's histories read.

    Raises:
        InputError: If nothing was ingested.
        UsageError: If the prompt reads unknown fields, or ``where`` cannot be evaluated.
        SetupError: If the model's config and tokenizer are not to be had.
    """
    spending = spending or Spending()
    specs = stage_specs(prompt, entry, model_spec(entry))
    plan = plan_generation(store, prompt, specs, limit=limit, where=where, only_failed=only_failed)
    return PlanReport(
        feature=prompt.name,
        model=entry.alias,
        num_entities=plan.num_entities,
        num_chains=len(plan.works),
        reasons=plan.reasons,
        num_deleted=sum(len(ids) for ids in plan.vanished.values()),
        forecast=forecast(store, prompt, specs, plan, entry=entry, spending=spending),
        spending=spending,
        memory=memory_fit(entry, engine or EngineOptions(), look_at_machine(cache_folder())),
        stale_upstream=upstream_texts(store, upstream, plan.inputs) if upstream is not None else None,
    )


def memory_fit(entry: ModelEntry, engine: EngineOptions, machine: Machine) -> MemoryFit | None:
    """Whether a model fits on a machine; None if it would not run there anyway.

    Args:
        entry: The model.
        engine: How it would run.
        machine: Where.
    """
    if entry.engine in {"echo", "openai"}:
        return None
    folder = Path(entry.folder) if entry.folder is not None else None
    needed = memory_needed_gib(entry, folder, engine.kv_cache_gib)
    return MemoryFit(
        where="GPU memory" if machine.gpus else "memory",
        needed_gib=needed / engine.tensor_parallel_size if machine.gpus else needed,
        free_gib=machine.model_memory_gib,
    )

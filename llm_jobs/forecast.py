"""What a plan will take: tokens, time and money, before anything is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from featurestore.ids import digest
from featurestore.jobs.runcard import PlannedRun, RunMachine, recent_cards
from featurestore.spec import ModelSpec, TextSpec
from featurestore.store import Store
from llm_jobs.calibration import Speed, calibrate
from llm_jobs.entries import ModelEntry
from llm_jobs.estimate import TokenEstimate, estimate_tokens
from llm_jobs.machine import Machine, look_at_machine
from llm_jobs.past_answers import past_answers
from llm_jobs.plan import GenerationPlan
from llm_jobs.prompt import Prompt
from llm_jobs.spending import Spending
from llm_jobs.token_count import token_counter
from llm_jobs.weights import cache_folder

_CARDS: Final = 40
"""Recent runs that are looked at: a few weeks of nightly jobs."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan will take.

    Attributes:
        tokens: Expected tokens by stage.
        speed: How fast this model was on a machine like this one; None if no run tells.
        seconds: Of the whole run; None if the speed is unknown.
        cost: In the currency of the price; None without a price or a speed.
    """

    tokens: TokenEstimate
    speed: Speed | None
    seconds: float | None
    cost: float | None

    def as_planned(self) -> PlannedRun:
        """The numbers that a run card keeps."""
        return PlannedRun(
            prompt_tokens=self.tokens.prompt,
            cached_tokens=self.tokens.cached,
            output_tokens=self.tokens.output,
            seconds=self.seconds,
            cost=self.cost,
        )


def forecast(
    store: Store,
    prompt: Prompt,
    specs: Sequence[TextSpec],
    plan: GenerationPlan,
    *,
    entry: ModelEntry,
    spending: Spending | None = None,
    num_engines: int = 1,
) -> Forecast:
    """Expected tokens, seconds and money of a plan; a plan without work takes nothing and costs no reading.

    Args:
        store: With earlier answers and run cards.
        prompt: The prompt, with its limits applied.
        specs: Its stages' specs.
        plan: What is to be done.
        entry: Who writes.
        spending: The price.
        num_engines: Engines that share the work.
    """
    spending = spending or Spending()
    if not plan.works:
        return Forecast(TokenEstimate(), None, 0.0, spending.cost(0.0))
    cards = recent_cards(store, _CARDS)
    seed = int(digest([spec.digest for spec in specs])[:8], 16)
    found = {spec.view: past_answers(store, spec, cards, seed=seed) for spec in specs}
    past = {view: answers for view, answers in found.items() if answers is not None}
    tokens = estimate_tokens(prompt, specs, plan, past=past, counter=token_counter(entry), seed=seed)
    speed = calibrate(cards, model_source(specs[0].model), run_machine(look_at_machine(cache_folder())))
    # Each engine gets its share of the tokens; the start-up is the same for all at once.
    uncached, output = (tokens.prompt - tokens.cached) / num_engines, tokens.output / num_engines
    seconds = speed.seconds(uncached, output) if speed is not None else None
    return Forecast(tokens, speed, seconds, spending.cost(seconds))


def model_source(model: ModelSpec) -> str:
    """The weights that decide how fast a model is: repository, revision, and how they are stored."""
    stored = "" if model.quantization is None else f" {model.quantization}"
    return f"{model.repo}@{model.revision or '-'} {model.dtype}{stored}"


def run_machine(machine: Machine) -> RunMachine:
    """What a run card says of a machine."""
    return RunMachine(
        cores=machine.cores,
        architecture=machine.architecture,
        memory_gib=round(machine.memory_gib, 1),
        gpus=tuple(gpu.name for gpu in machine.gpus),
    )

"""The ways to run chains that `benchmarks/chains.py` compares, and what counts their tokens."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

import pyarrow as pa

from featurestore.schema import ITEMS
from featurestore.stores.memory import MemoryStore
from llm_jobs.catalog import find_prompt
from llm_jobs.chain import ChainLimits, ChainRunner
from llm_jobs.engine import Completion, EngineInfo, Request
from llm_jobs.engines.vllm_offline import VllmEngine
from llm_jobs.entity_chain import open_chain
from llm_jobs.models import find_model, model_spec
from llm_jobs.outcomes import Answer, judge
from llm_jobs.plan import GenerationPlan, plan_generation
from llm_jobs.prompt import Prompt
from llm_jobs.requests import RequestBuilder
from llm_jobs.specs import stage_specs
from llm_jobs.text_checks import CheckName, Checks

MODEL = "smollm2-135m"
BLOCK = 32
WORDS = (
    *("light", "heavy", "steel", "oak", "cotton", "quiet", "bright", "small", "wide"),
    *("warm", "dry", "soft", "round", "flat", "deep", "slim", "red"),
)
ENTRY = find_model(MODEL, {})
LIMITS = ChainLimits(max_attempts=1, skip_budget=1.0)


@dataclass
class Meter:
    """An engine that counts what passes through it."""

    engine: VllmEngine
    requests: dict[str, Request] = field(default_factory=dict[str, Request])
    completions: list[Completion] = field(default_factory=list[Completion])
    seconds: float = 0.0

    @property
    def info(self) -> EngineInfo:
        """See `LLMEngine.info`."""
        return self.engine.info

    def submit(self, requests: Sequence[Request]) -> None:
        """See `LLMEngine.submit`."""
        self.requests |= {request.key: request for request in requests}
        self.engine.submit(requests)

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`."""
        completions = self.engine.poll(timeout)
        self.completions += completions
        return completions

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`."""
        self.engine.abort(keys)

    def close(self) -> None:
        """See `LLMEngine.close`."""
        self.engine.close()

    @property
    def prompt_tokens(self) -> int:
        """Of all requests."""
        return sum(c.prompt_tokens for c in self.completions)

    @property
    def cached_tokens(self) -> int:
        """Of these, reused."""
        return sum(c.cached_tokens for c in self.completions)

    @property
    def output_tokens(self) -> int:
        """Of all requests."""
        return sum(c.output_tokens for c in self.completions)

    def reusable_tokens(self, shared: int) -> int:
        """Prompt tokens that a cache without eviction would hold: the last token of a turn is never in it."""
        total = 0
        for completion in self.completions:
            before = self.requests[completion.key].continues
            held = len(before.token_ids) - 1 if before else shared
            total += min(held, completion.prompt_tokens - 1) // BLOCK * BLOCK
        return total


@dataclass(frozen=True)
class Workload:
    """A prompt over items, planned."""

    prompt: Prompt
    plan: GenerationPlan
    data_words: int
    max_field_chars: int | None


def workload(num_items: int, data_words: int, max_field_chars: int | None) -> Workload:
    """Items with descriptions of so many words, no two alike."""
    draw = random.Random(0)  # noqa: S311 - a fixed workload
    rows = [
        {
            "item_id": f"item-{i:04d}",
            "title": f"{draw.choice(WORDS).capitalize()} kettle number {i}",
            "brand": f"House {i % 13}",
            "description": " ".join(draw.choices(WORDS, k=data_words)),
        }
        for i in range(num_items)
    ]
    store = MemoryStore()
    store.replace("source.items", pa.Table.from_pylist(rows, schema=ITEMS))
    prompt = unchecked(find_prompt("item_cot", None).with_limits(max_field_chars=max_field_chars))
    specs = stage_specs(prompt, ENTRY, model_spec(ENTRY))
    return Workload(prompt, plan_generation(store, prompt, specs), data_words, max_field_chars)


def unchecked(prompt: Prompt) -> Prompt:
    """The prompt without the checks of what a text says: a poor text is as much work as a good one."""
    checks = Checks(skip=get_args(CheckName))
    stages = tuple(stage.model_copy(update={"checks": checks}) for stage in prompt.stages)
    return prompt.model_copy(update={"stages": stages})


def pipelined(work: Workload, meter: Meter) -> None:
    """Ours."""
    specs = stage_specs(work.prompt, ENTRY, model_spec(ENTRY))
    runner = ChainRunner(
        work.prompt, specs, work.plan, meter, run_id="bench", limits=LIMITS, write_row=lambda *_: None
    )
    runner.run(lambda: None)


def stagewise(work: Workload, meter: Meter, *, goes_on: bool) -> None:
    """The peers: all entities of one stage before any of the next; ``goes_on`` from the tokens or not."""
    specs = stage_specs(work.prompt, ENTRY, model_spec(ENTRY))
    builder = RequestBuilder(work.prompt, specs, meter.info.engine_class)
    chains = [open_chain(w, work.plan, work.prompt, specs) for w in work.plan.works]
    for index, stage in enumerate(work.prompt.stages):
        waiting = {}
        for chain in chains:
            request = builder.build(
                index,
                chain.fields,
                chain.answers,
                sample_index=0,
                continues=chain.last if goes_on else None,
            )
            waiting[request.key] = chain
            meter.submit([request])
        while waiting:
            for completion in meter.poll(0.2):
                chain = waiting.pop(completion.key)
                verdict = judge(completion, stage, None, source_text="", system="")
                chain.last = completion
                if isinstance(verdict, Answer):
                    chain.answers[stage.name] = verdict.canonical
        chains = [chain for chain in chains if stage.name in chain.answers]

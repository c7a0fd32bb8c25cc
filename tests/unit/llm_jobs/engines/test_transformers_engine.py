"""The transformers engine on a tiny random model: a batch must answer as one sequence alone would."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_reasoner

from featurestore.errors import SetupError
from featurestore.spec import Sampling
from llm_jobs.engine import Completion, Message, Request
from llm_jobs.engines import EngineOptions
from llm_jobs.entries import ModelEntry
from llm_jobs.models import find_model

pytest.importorskip("transformers")

from llm_jobs.engines.running_batch import RunningBatch
from llm_jobs.engines.transformers_engine import TransformersEngine


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    folder = write_tiny_reasoner(tmp_path_factory.mktemp("tiny"))
    keys = {"folder": str(folder), "engine": "transformers", "dtype": "float32"}
    return find_model("deepseek-r1-1.5b", {"deepseek-r1-1.5b": keys})


@pytest.fixture
def engine(entry: ModelEntry) -> Iterator[TransformersEngine]:
    options = EngineOptions(max_num_seqs=3, max_model_len=512, kv_cache_gib=0.01)
    with closing(TransformersEngine(entry, options)) as opened:
        yield opened


def _request(key: str, words: str = "", *, max_tokens: int = 8, priority: int = 0, **draw: float) -> Request:
    sampling = Sampling.model_validate({"max_tokens": max_tokens, **draw})
    return Request(key, (Message("user", words or key),), sampling, priority=priority)


def _outcomes(engine: TransformersEngine, count: int) -> dict[str, Completion]:
    done: dict[str, Completion] = {}
    deadline = time.monotonic() + 60
    while len(done) < count and time.monotonic() < deadline:
        done |= {completion.key: completion for completion in engine.poll(0.1)}
    return done


def _alone(model: Any, prompt: list[int], max_tokens: int) -> list[int]:
    """What transformers' own generation gives for one prompt."""
    import torch

    ids = torch.tensor([prompt])
    mask = torch.ones_like(ids)
    output = model.generate(ids, attention_mask=mask, max_new_tokens=max_tokens, do_sample=False)
    return output[0, len(prompt) :].tolist()


def test_sequences_of_all_lengths_that_join_and_leave_answer_as_alone(
    engine: TransformersEngine, entry: ModelEntry
) -> None:
    """Seven requests through three rows: lengths differ, so rows are freed, moved and filled again."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(entry.folder), dtype="float32")
    requests = [_request(str(n), "word " * (3 * n + 1), max_tokens=5 + 9 * (n % 3)) for n in range(7)]
    engine.submit(requests)
    done = _outcomes(engine, 7)
    for request in requests:
        outcome = done[request.key]
        prompt = list(outcome.token_ids[: outcome.prompt_tokens])
        generated = list(outcome.token_ids[outcome.prompt_tokens :])
        assert generated == _alone(model, prompt, request.sampling.max_tokens)
        assert len(generated) == outcome.output_tokens
        assert outcome.finish_reason == (
            "length" if len(generated) == request.sampling.max_tokens else "stop"
        )


def test_a_request_draws_alike_alone_and_in_company(engine: TransformersEngine) -> None:
    def asked(key: str, seed: int) -> Request:
        return _request(key, "tea", temperature=1.5, top_p=0.9, seed=seed, repetition_penalty=1.3)

    engine.submit([asked("alone", 7)])
    alone = _outcomes(engine, 1)["alone"]
    engine.submit([_request("other"), asked("together", 7), asked("another seed", 8)])
    done = _outcomes(engine, 3)
    assert done["together"].token_ids == alone.token_ids != done["another seed"].token_ids


def test_the_most_urgent_goes_first(entry: ModelEntry) -> None:
    options = EngineOptions(max_num_seqs=1, max_model_len=256, kv_cache_gib=0.01)
    with closing(TransformersEngine(entry, options)) as engine:
        engine.submit([_request("first", max_tokens=50), *(_request(f"p{p}", priority=p) for p in (2, 0, 1))])
        order: list[str] = []
        while len(order) < 4:
            order += [completion.key for completion in engine.poll(5.0)]
    assert order.index("p0") < order.index("p1") < order.index("p2")


def test_a_fault_in_a_step_fails_what_was_running_and_nothing_else(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = RunningBatch.step
    broken = threading.Event()

    def step(batch: RunningBatch) -> list[object]:
        if not broken.is_set():
            broken.set()
            raise MemoryError("no room")
        return working(batch)

    monkeypatch.setattr(RunningBatch, "step", step)
    engine.submit([_request("unlucky")])
    assert (_outcomes(engine, 1)["unlucky"]).detail == "MemoryError: no room"
    engine.submit([_request("lucky")])
    assert _outcomes(engine, 1)["lucky"].text is not None


def test_a_cache_bounds_what_runs_at_once(entry: ModelEntry) -> None:
    """256 bytes a token and layer here: 0.0002 GiB hold some 420 tokens, so two of these at once."""
    with closing(TransformersEngine(entry, EngineOptions(kv_cache_gib=0.0002, max_num_seqs=8))) as engine:
        assert 200 < engine.info.max_model_len < 500
        engine.submit([_request(str(n), max_tokens=100) for n in range(5)])
        assert all(outcome.text is not None for outcome in _outcomes(engine, 5).values())
        engine.submit([_request("long", max_tokens=600)])
        assert _outcomes(engine, 1)["long"].failure == "prompt_too_long"


def test_closing_stops_the_thread_at_once(entry: ModelEntry) -> None:
    engine = TransformersEngine(entry, EngineOptions(kv_cache_gib=0.05))
    engine.submit([_request("endless", max_tokens=5000)])
    started = time.monotonic()
    engine.close()
    assert time.monotonic() - started < 10
    assert "transformers-batch" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ValueError, match="the engine is closed"):
        engine.submit([_request("late")])


def test_layers_that_see_a_window_only_are_refused(entry: ModelEntry, tmp_path: Path) -> None:
    import json

    folder = write_tiny_reasoner(tmp_path / "windowed")
    config = json.loads((folder / "config.json").read_text())
    config |= {"layer_types": ["full_attention", "sliding_attention"], "use_sliding_window": True}
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 64}))
    with pytest.raises(SetupError, match="has layers of sliding_attention") as caught:
        TransformersEngine(entry.model_copy(update={"folder": str(folder)}), EngineOptions())
    assert "vLLM" in caught.value.hint

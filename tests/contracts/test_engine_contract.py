"""What every engine promises. An engine is one entry of ``_ENGINES``."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pytest
from fake_openai_server import fake_openai_server
from vllm_server import SERVED, vllm_server

from featurestore.spec import Sampling
from llm_jobs.answer_model import validate_answer
from llm_jobs.engine import Completion, LLMEngine, Message, Request
from llm_jobs.engines import DeferredEngine, EngineOptions
from llm_jobs.engines.echo import EchoEngine, EchoOptions
from llm_jobs.models import find_model

OpenEngine = Callable[[], LLMEngine]

_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["reason", "tags"],
    "properties": {
        "reason": {"type": "string", "maxLength": 40},
        "tags": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {"type": "string", "maxLength": 10},
        },
    },
}


def _echo() -> LLMEngine:
    return EchoEngine(EchoOptions(latency_seconds=0.02, max_model_len=2048))


def _deferred() -> LLMEngine:
    return DeferredEngine(_echo)


def _vllm() -> LLMEngine:
    from llm_jobs.engines.vllm_offline import VllmEngine

    return VllmEngine(find_model("smollm2-135m", {}), EngineOptions(max_model_len=2048))


def _transformers() -> LLMEngine:
    from llm_jobs.engines.transformers_engine import TransformersEngine

    return TransformersEngine(find_model("smollm2-135m", {}), EngineOptions(max_model_len=2048))


def _served(url: str, name: str) -> LLMEngine:
    from llm_jobs.engines.openai_http import OpenAIEngine

    keys = {"engine": "openai", "base_url": url, "served_model": name, "context": 2048}
    return OpenAIEngine(
        find_model("smollm2-135m", {"smollm2-135m": keys}), EngineOptions(request_seconds=120)
    )


@contextmanager
def _http() -> Iterator[LLMEngine]:
    with fake_openai_server(seconds=0.02) as server, closing(_served(server.url, "fake")) as engine:
        yield engine


@contextmanager
def _vllm_serve() -> Iterator[LLMEngine]:
    with vllm_server() as url, closing(_served(url, SERVED)) as engine:
        yield engine


_REAL = [pytest.mark.real_llm, pytest.mark.slow]
_ENGINES = [
    pytest.param(lambda: closing(_echo()), id="echo"),
    pytest.param(lambda: closing(_deferred()), id="deferred"),
    pytest.param(_http, id="http"),
    pytest.param(lambda: closing(_vllm()), id="vllm", marks=_REAL),
    pytest.param(_vllm_serve, id="vllm_serve", marks=_REAL),
    pytest.param(lambda: closing(_transformers()), id="transformers", marks=_REAL),
]
_GAPS = {
    ("transformers", "grammar"): "transformers draws tokens freely; answers are checked and asked for again",
    ("transformers", "prefix_cache"): "no keys and values are kept from one request to the next",
}
"""What an engine does not promise, by its name and the promise."""


@pytest.fixture(scope="module", params=_ENGINES)
def open_engine(request: pytest.FixtureRequest) -> Iterator[OpenEngine]:
    """A function that gives an idle engine; it starts once per module, closed at the end."""
    with ExitStack() as stack:
        engine = stack.enter_context(request.param())
        yield lambda: engine


def _expect_gap(request: pytest.FixtureRequest, engine: LLMEngine, promise: str) -> None:
    """From here on, the test must fail where its engine has a gap in what it promises."""
    if reason := _GAPS.get((engine.info.name, promise)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def _request(key: str, question: str = "Name a colour.", *, max_tokens: int = 64) -> Request:
    messages = (Message("system", "Answer in one word."), Message("user", f"{question} ({key})"))
    return Request(key=key, messages=messages, sampling=Sampling(max_tokens=max_tokens))


def _wait(engine: LLMEngine, count: int, seconds: float = 240.0) -> list[Completion]:
    done: list[Completion] = []
    deadline = time.monotonic() + seconds
    while len(done) < count and time.monotonic() < deadline:
        done += engine.poll(0.2)
    return done


def _keys(completions: Sequence[Completion]) -> list[str]:
    return sorted(completion.key for completion in completions)


def test_every_request_gets_one_outcome(open_engine: OpenEngine) -> None:
    engine = open_engine()
    wanted = [f"one-{n}" for n in range(9)]
    engine.submit([_request(key) for key in wanted])
    done = _wait(engine, len(wanted))
    assert _keys(done) == wanted
    assert engine.poll(0.05) == []
    assert all(c.text and c.prompt_tokens > 0 and c.output_tokens > 0 for c in done)


def test_a_late_request_joins_the_running_batch(open_engine: OpenEngine) -> None:
    engine = open_engine()
    engine.submit([_request(f"late-{n}") for n in range(4)])
    first = _wait(engine, 1)
    engine.submit([_request("late-last")])
    done = first + _wait(engine, 5 - len(first))
    assert _keys(done) == ["late-0", "late-1", "late-2", "late-3", "late-last"]


def test_a_key_in_flight_is_refused(open_engine: OpenEngine) -> None:
    engine = open_engine()
    engine.submit([_request("twice")])
    with pytest.raises(ValueError, match="twice"):
        engine.submit([_request("twice")])
    assert _keys(_wait(engine, 1)) == ["twice"]
    engine.submit([_request("twice")])
    assert _keys(_wait(engine, 1)) == ["twice"]


def test_an_over_long_prompt_fails_alone(open_engine: OpenEngine) -> None:
    engine = open_engine()
    engine.submit([_request("long", "word " * 20_000), _request("short")])
    done = {completion.key: completion for completion in _wait(engine, 2)}
    assert (done["long"].failure, done["long"].finish_reason, done["long"].text) == (
        "prompt_too_long",
        "failed",
        None,
    )
    assert "token" in done["long"].detail
    assert done["short"].failure is None


def test_an_answer_matches_its_schema(open_engine: OpenEngine, request: pytest.FixtureRequest) -> None:
    engine = open_engine()
    _expect_gap(request, engine, "grammar")
    messages = (Message("user", "Describe a red kettle as JSON with the keys reason and tags."),)
    sampling = Sampling(max_tokens=200)
    engine.submit([Request("schema", messages, sampling, output_schema=_SCHEMA)])
    (done,) = _wait(engine, 1)
    assert done.text is not None
    assert done.finish_reason == "stop"
    validate_answer(json.loads(done.text), _SCHEMA)


def _second_turn(engine: LLMEngine) -> tuple[Completion, Completion]:
    opening = _request("turn-1", "Name a fruit and describe at length where it grows. " * 8)
    engine.submit([opening])
    (first,) = _wait(engine, 1)
    assert first.text is not None
    messages = (*opening.messages, Message("assistant", first.text), Message("user", "And another one?"))
    engine.submit([Request("turn-2", messages, opening.sampling, continues=first)])
    (second,) = _wait(engine, 1)
    return first, second


def test_a_conversation_continues_from_its_last_completion(open_engine: OpenEngine) -> None:
    first, second = _second_turn(open_engine())
    assert second.text is not None
    assert second.prompt_tokens > first.prompt_tokens


def test_a_continued_conversation_reuses_its_prefix(
    open_engine: OpenEngine, request: pytest.FixtureRequest
) -> None:
    engine = open_engine()
    _expect_gap(request, engine, "prefix_cache")
    _, second = _second_turn(engine)
    assert second.cached_tokens > 0


def test_aborted_requests_still_get_their_one_outcome(open_engine: OpenEngine) -> None:
    engine = open_engine()
    keys = [f"abort-{n}" for n in range(3)]
    engine.submit([_request(key, max_tokens=256) for key in keys])
    engine.abort([*keys, "never-submitted"])
    done = _wait(engine, 3)
    assert _keys(done) == keys
    assert all(c.failure == "aborted" or c.text is not None for c in done)


def test_an_idle_engine_polls_to_nothing_in_time(open_engine: OpenEngine) -> None:
    engine = open_engine()
    started = time.monotonic()
    assert engine.poll(0.1) == []
    assert time.monotonic() - started < 2.0


def test_an_engine_says_what_it_is(open_engine: OpenEngine) -> None:
    info = open_engine().info
    assert info.concurrency >= 1
    assert info.max_model_len >= 256
    assert " " not in info.engine_class
    assert info.engine_class.startswith(info.name)


@pytest.mark.parametrize("start", [_echo, _deferred])
def test_closing_twice_is_fine(start: OpenEngine) -> None:
    engine = start()
    engine.submit([_request("lost")])
    engine.close()
    engine.close()

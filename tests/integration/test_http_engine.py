"""The engine behind a server: retries, typed failures, the key's secrecy, and what is read of responses."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from fake_openai_server import FakeServer, Fault, fake_openai_server

from featurestore.errors import SetupError
from featurestore.spec import Sampling
from llm_jobs.engine import Completion, Message, Request
from llm_jobs.engines import EngineOptions, backoff
from llm_jobs.engines.openai_http import OpenAIEngine
from llm_jobs.models import ModelEntry, find_model

_KEY = "sk-very-secret-4711"
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_openai_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_WAIT", 0.01)


def _entry(server: FakeServer, **more: Any) -> ModelEntry:
    keys = {
        "repo": "org/fake",
        "engine": "openai",
        "base_url": server.url,
        "served_model": "fake",
        "context": 4096,
        "memory_gib": 0.0,
        "disk_gib": 0.0,
    }
    return find_model("ours", {"ours": {**keys, **more}})


def _request(key: str = "k", **more: Any) -> Request:
    return Request(key, (Message("user", f"Name a colour. {key}"),), Sampling(max_tokens=64), **more)


def _outcomes(engine: OpenAIEngine, count: int, seconds: float = 20.0) -> list[Completion]:
    done: list[Completion] = []
    deadline = time.monotonic() + seconds
    while len(done) < count and time.monotonic() < deadline:
        done += engine.poll(0.05)
    return done


def _ask(
    server: FakeServer, request: Request | None = None, *, seconds: float = 5.0, **entry: Any
) -> Completion:
    options = EngineOptions(request_seconds=seconds)
    with closing(OpenAIEngine(_entry(server, **entry), options)) as engine:
        engine.submit([request or _request()])
        (done,) = _outcomes(engine, 1)
        return done


def test_a_server_says_what_it_is(server: FakeServer) -> None:
    with closing(OpenAIEngine(_entry(server), EngineOptions())) as engine:
        info = engine.info
    assert (info.engine_class, info.max_model_len) == ("openai-tests-9.9-remote", 2048)


def test_what_the_request_says_reaches_the_server(server: FakeServer) -> None:
    sampling = Sampling(temperature=0.5, top_p=0.8, repetition_penalty=1.2, max_tokens=7, seed=3)
    request = Request("k", (Message("system", "Brief."), Message("user", "Who?")), sampling, _SCHEMA)
    _ask(server, request, template_options={"enable_thinking": True})
    assert server.received == [
        {
            "model": "fake",
            "messages": [{"role": "system", "content": "Brief."}, {"role": "user", "content": "Who?"}],
            "temperature": 0.5,
            "top_p": 0.8,
            "max_tokens": 7,
            "seed": 3,
            "stream": False,
            "repetition_penalty": 1.2,
            "chat_template_kwargs": {"enable_thinking": True},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True},
            },
        }
    ]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429),
        Fault(status=500, body="<html>oh</html>"),
        Fault(status=503, headers={"Retry-After": "0.05"}),
        Fault(reset=True),
        Fault(body='{"choices": [{"message": {"content": "cut"}, "finish_reason": "stop"}]}', cut=True),
        Fault(body='{"choices": ['),
        Fault(body='{"choices": []}'),
        Fault(body="[]"),
    ],
    ids=["429", "500", "503", "reset", "cut", "malformed", "no choice", "no object"],
)
def test_a_passing_fault_costs_a_second_request_only(server: FakeServer, fault: Fault) -> None:
    server.faults = [fault]
    done = _ask(server)
    assert (done.failure, bool(done.text), len(server.received)) == (None, True, 2)


def test_attempts_are_bounded_and_a_lasting_fault_fails_its_own_request_only(server: FakeServer) -> None:
    with closing(OpenAIEngine(_entry(server), EngineOptions(max_num_seqs=1))) as engine:
        server.faults = [Fault(status=500, body='{"error": {"message": "out of luck"}}')] * 5
        engine.submit([_request("bad"), _request("good")])
        done = {completion.key: completion for completion in _outcomes(engine, 2)}
    assert (done["bad"].failure, done["bad"].detail) == ("engine_error", "status 500: out of luck")
    assert done["good"].text
    assert len(server.received) == 6


def test_a_hanging_server_is_tried_twice_and_is_a_timeout(server: FakeServer) -> None:
    server.faults = [Fault(seconds=2.0)] * 3
    done = _ask(server, seconds=0.2)
    assert (done.failure, done.detail) == ("timeout", "no response within 0.2 seconds")
    assert len(server.received) == 2


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_holds_for_every_request(server: FakeServer, as_date: bool) -> None:
    in_two_seconds = datetime.now(UTC) + timedelta(seconds=2)
    stated = format_datetime(in_two_seconds, usegmt=True) if as_date else "1"
    with closing(OpenAIEngine(_entry(server), EngineOptions(max_num_seqs=1))) as engine:
        server.faults = [Fault(status=429, headers={"Retry-After": stated})]
        engine.submit([_request("first"), _request("second")])
        assert all(completion.text for completion in _outcomes(engine, 2))
    assert server.received_at[1] - server.received_at[0] >= 0.5  # dates have whole seconds


def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for(server: FakeServer) -> None:
    server.faults = [Fault(status=429, headers={"Retry-After": "86400"}, body='{"error": "quota"}')]
    done = _ask(server)
    assert done.failure == "refused_by_server"
    assert done.detail == "status 429: quota (it asks to wait 86400 seconds)"
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"error": {"message": "This model\'s maximum context length is 8 tokens."}}', 400),
        ('{"error": {"code": "context_length_exceeded"}}', 400),
        ('{"message": "The input (9 tokens) is longer than the model\'s context length (8 tokens)."}', 400),
        ('{"error": {"message": "the request exceeds the available context size"}}', 400),
    ],
)
def test_a_context_that_is_too_small_is_a_prompt_too_long(server: FakeServer, body: str, status: int) -> None:
    server.faults = [Fault(status=status, body=body)]
    done = _ask(server, _request(output_schema=_SCHEMA))
    assert done.failure == "prompt_too_long"
    assert len(server.received) == 1


def test_a_refused_request_is_not_repeated(server: FakeServer) -> None:
    server.faults = [Fault(status=403, body='{"detail": "not yours"}')]
    done = _ask(server)
    assert (done.failure, done.detail, len(server.received)) == (
        "refused_by_server",
        "status 403: not yours",
        1,
    )


def test_a_server_without_schemas_is_asked_without_from_then_on(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.takes_schema = False
    with closing(OpenAIEngine(_entry(server), EngineOptions())) as engine:
        for key in ("a", "b"):
            engine.submit([_request(key, output_schema=_SCHEMA)])
            (done,) = _outcomes(engine, 1)
            assert done.text
    assert ["response_format" in payload for payload in server.received] == [True, False, False]
    assert "takes no response_format" in caplog.text


def test_one_bad_request_does_not_cost_the_others_their_schema(server: FakeServer) -> None:
    with closing(OpenAIEngine(_entry(server), EngineOptions())) as engine:
        server.faults = [Fault(status=400, body="bad"), Fault(status=400, body="bad")]
        engine.submit([_request("bad", output_schema=_SCHEMA)])
        (bad,) = _outcomes(engine, 1)
        engine.submit([_request("good", output_schema=_SCHEMA)])
        (good,) = _outcomes(engine, 1)
    assert (bad.failure, bool(good.text)) == ("refused_by_server", True)
    assert "response_format" in server.received[-1]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_come_back_between_their_tags(server: FakeServer, name: str) -> None:
    server.message = {"content": '{"a": "b"}', name: "hm"}
    tags = {"open": "<think>", "close": "</think>"}
    assert _ask(server, _request(output_schema=_SCHEMA), reasoning=tags).text == '<think>hm</think>{"a": "b"}'
    assert "response_format" not in server.received[-1]  # as with vLLM in process
    assert _ask(server).text == '{"a": "b"}'


def test_thoughts_that_were_cut_off_stay_open(server: FakeServer) -> None:
    server.message, server.finish_reason = {"content": None, "reasoning_content": "hm"}, "length"
    done = _ask(server, reasoning={"open": "<think>", "close": "</think>"})
    assert (done.text, done.finish_reason) == ("<think>hm", "length")


def test_filtered_and_refused_answers_are_no_texts(server: FakeServer) -> None:
    server.finish_reason = "content_filter"
    assert _ask(server).failure == "refused_by_server"
    server.finish_reason, server.message = "stop", {"refusal": "I cannot"}
    assert _ask(server).detail == "the server ended the answer with a refusal"


def test_no_more_requests_at_once_than_allowed(server: FakeServer) -> None:
    server.seconds = 0.05
    with closing(OpenAIEngine(_entry(server), EngineOptions(max_num_seqs=3))) as engine:
        assert engine.info.concurrency == 3
        engine.submit([_request(str(n)) for n in range(12)])
        assert len(_outcomes(engine, 12)) == 12
    assert 2 <= server.most_at_once <= 3


def test_the_key_comes_from_the_environment_and_shows_nowhere(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OUR_KEY", f" {_KEY}\n")
    server.key = _KEY
    entry = _entry(server, api_key_env="OUR_KEY")
    with closing(OpenAIEngine(entry, EngineOptions())) as engine:
        assert server.key not in repr(vars(engine)) + repr(engine) + repr(engine.info)
        server.faults = [Fault(status=400, body=json.dumps({"error": f"your key {_KEY} is odd"}))]
        engine.submit([_request("echoed"), _request("plain")])
        done = {completion.key: completion for completion in _outcomes(engine, 2)}
    assert {c.failure for c in done.values()} == {"refused_by_server", None}
    assert "your key *** is odd" in " ".join(c.detail for c in done.values())
    assert _KEY not in repr(done) + caplog.text + repr(entry)
    assert server.headers[0]["Authorization"] == f"Bearer {_KEY}"


def test_a_refused_key_is_named_by_its_variable(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "another"
    monkeypatch.setenv("OUR_KEY", _KEY)
    with pytest.raises(SetupError, match=r"refuses \$OUR_KEY with status 401") as caught:
        OpenAIEngine(_entry(server, api_key_env="OUR_KEY"), EngineOptions())
    assert _KEY not in str(caught.value)
    with pytest.raises(SetupError, match="refuses no key"):
        OpenAIEngine(_entry(server), EngineOptions())


@pytest.mark.parametrize(("value", "message"), [(None, "is not set"), ("sk-\u00e9", "holds characters")])
def test_a_key_that_is_none_is_refused(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, value: str | None, message: str
) -> None:
    monkeypatch.delenv("OUR_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OUR_KEY", value)
    with pytest.raises(SetupError, match=f"OUR_KEY of model 'ours' {message}") as caught:
        OpenAIEngine(_entry(server, api_key_env="OUR_KEY"), EngineOptions())
    assert "sk-" not in str(caught.value)


def test_a_model_that_is_not_served_lists_those_that_are(server: FakeServer) -> None:
    with pytest.raises(SetupError, match="does not serve 'other', but fake") as caught:
        OpenAIEngine(_entry(server, served_model="other"), EngineOptions())
    assert "served_model" in caught.value.hint


def test_a_server_that_is_not_there_says_where_it_was_looked_for() -> None:
    with fake_openai_server() as gone:
        entry = _entry(gone)
    with pytest.raises(SetupError, match=r"'ours' at http://127.0.0.1:\d+/v1 does not answer: ConnectError"):
        OpenAIEngine(entry, EngineOptions())

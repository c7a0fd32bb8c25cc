"""An OpenAI-compatible server on loopback, with answers of the echo engine and faults on demand."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from featurestore.spec import Sampling
from llm_jobs.engine import Message, Request
from llm_jobs.engines.echo import EchoEngine, EchoOptions

_MAX_MODEL_LEN = 2048
_CHARS_PER_TOKEN = 4


@dataclass(frozen=True)
class Fault:
    """What happens instead of an answer.

    Attributes:
        status: Status of the response.
        body: Its body.
        headers: More headers.
        seconds: Delay before anything is sent.
        reset: Close the connection with a reset, without a response.
        cut: Announce the body's length, send half of it and close.
    """

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    reset: bool = False
    cut: bool = False


@dataclass
class FakeServer:
    """The server's state, for tests to set and look at.

    Attributes:
        url: Its ``base_url``.
        faults: Taken one by one by chat requests, before answers are given.
        key: Bearer token that it asks for; empty: none.
        takes_schema: Whether it knows ``response_format``.
        seconds: Time for an answer.
        message: Parts of the answer's message to replace.
        finish_reason: How answers end.
        received: Payloads of chat requests, in order.
        headers: Their headers.
        most_at_once: Chat requests answered at once, at most.
    """

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    key: str = ""
    takes_schema: bool = True
    seconds: float = 0.0
    message: dict[str, Any] = field(default_factory=dict)
    finish_reason: str = "stop"
    received: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    received_at: list[float] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, payload: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body for a chat request."""
        if "response_format" in payload and not self.takes_schema:
            return 400, {"error": {"message": "response_format is not supported"}}
        messages = tuple(Message(m["role"], m["content"]) for m in payload["messages"])
        schema = payload.get("response_format", {}).get("json_schema", {}).get("schema")
        echo = EchoEngine(EchoOptions(max_model_len=_MAX_MODEL_LEN))
        sampling = Sampling(max_tokens=payload["max_tokens"], seed=payload["seed"])
        echo.submit([Request("k", messages, sampling, output_schema=schema)])
        (done,) = echo.poll(1.0)
        if done.text is None:
            stated = f"This model's maximum context length is {_MAX_MODEL_LEN} tokens: {done.detail}"
            return 400, {"error": {"message": stated, "code": 400}}
        seen = [m["messages"][:-1] for m in self.received[:-1]]
        cached = sum(len(m.content) for m in messages[:-1]) // _CHARS_PER_TOKEN
        usage = {
            "prompt_tokens": done.prompt_tokens,
            "completion_tokens": done.output_tokens,
            "prompt_tokens_details": {"cached_tokens": cached if len(messages) > 2 and seen else 0},
        }
        message = {"role": "assistant", "content": done.text, **self.message}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        return 200, {"object": "chat.completion", "choices": [choice], "usage": usage}


@contextmanager
def fake_openai_server(**state: Any) -> Iterator[FakeServer]:
    """A running server; it ends with the block."""
    fake = FakeServer(**state)

    class Handler(_Handler):
        server_state = fake

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: FakeServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        if self.path == "/version":
            self._send(200, {"version": "9.9"})
        elif self.path == "/v1/models" and self._knows_key():
            card = {"id": "fake", "owned_by": "tests", "max_model_len": _MAX_MODEL_LEN}
            self._send(200, {"object": "list", "data": [card]})
        elif self.path != "/v1/models":
            self._send(404, {"error": "no such path"})

    def do_POST(self) -> None:
        state = self.server_state
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with state.lock:
            state.received.append(payload)
            state.received_at.append(time.monotonic())
            state.headers.append(dict(self.headers))
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
            fault = state.faults.pop(0) if state.faults else None
        try:
            if not self._knows_key():
                return
            if fault is None:
                time.sleep(state.seconds)
                self._send(*state.answer(payload))
            else:
                self._fail(fault)
        except OSError:  # the client has gone
            self.close_connection = True
        finally:
            with state.lock:
                state.at_once -= 1

    def _knows_key(self) -> bool:
        given = self.headers.get("Authorization", "")
        if self.server_state.key and given != f"Bearer {self.server_state.key}":
            self._send(401, {"error": {"message": f"wrong key: {given}"}})
            return False
        return True

    def _fail(self, fault: Fault) -> None:
        time.sleep(fault.seconds)
        if fault.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        body = fault.body.encode()
        sent = body[: len(body) // 2] if fault.cut else body
        self._write(fault.status, sent, length=len(body), headers=fault.headers)
        self.close_connection = self.close_connection or fault.cut

    def _send(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self._write(status, body, length=len(body), headers={})

    def _write(self, status: int, body: bytes, *, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

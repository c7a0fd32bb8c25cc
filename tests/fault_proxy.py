"""An HTTP proxy that does to requests what networks and busy services do.

It stands between a client and an S3 server on this machine. A function decides what becomes of each request:
a test can aim at one, or draw faults at random.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

_END: Final = b"\r\n\r\n"
_BUSY: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What can become of a request."""

    NONE = "none"
    RESET = "reset"
    """The connection is reset before the server hears of the request."""
    BUSY = "busy"
    """Refused with 503 SlowDown; the server does not hear of it."""
    SLOW = "slow"
    """Answered after a pause."""
    LOST_REPLY = "lost reply"
    """The server does what is asked, but its answer never arrives."""
    TORN_REPLY = "torn reply"
    """Half of the answer arrives."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its method, and its path with the query."""

    method: str
    path: str


Decision = Callable[[Call], Fault]


def drawn(seed: int, shares: Mapping[Fault, float]) -> Decision:
    """Faults at random: each kind befalls its share of all requests."""
    draw = random.Random(seed)
    kinds, weights = list(shares), list(shares.values())

    def decide(_: Call) -> Fault:
        return draw.choices([*kinds, Fault.NONE], [*weights, 1.0 - sum(weights)])[0]

    return decide


def first(fault: Fault, method: str, part: str, *, times: int = 1) -> Decision:
    """One kind of fault for the first requests of a method whose path contains ``part``."""
    left = times

    def decide(call: Call) -> Fault:
        nonlocal left
        if left and call.method == method and part in call.path:
            left -= 1
            return fault
        return Fault.NONE

    return decide


class FaultProxy:
    """A running proxy; a context manager.

    Args:
        server: ``http://host:port`` that it stands before.
        slow_seconds: How much later a slow answer comes.
    """

    def __init__(self, server: str, *, slow_seconds: float = 0.3) -> None:
        self.decide: Decision = lambda _: Fault.NONE
        self.befallen: Counter[Fault] = Counter()
        """How many requests each fate has befallen."""
        self.server = server
        self.url = ""
        self._upstream = urlsplit(server)
        self._slow_seconds = slow_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the client connects anew for the next."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(_END)
            request, call = await _read_request(head, reader, writer)
            fault = self.decide(call)
            self.befallen[fault] += 1
            reply = await self._reply(request, fault)
            if reply:
                writer.write(reply)
                await writer.drain()
            if fault in {Fault.RESET, Fault.LOST_REPLY, Fault.TORN_REPLY}:
                linger: socket.socket = writer.get_extra_info("socket")
                linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async def _reply(self, request: bytes, fault: Fault) -> bytes:
        if fault is Fault.RESET:
            return b""
        if fault is Fault.BUSY:
            head = f"HTTP/1.1 503 Slow Down\r\nContent-Length: {len(_BUSY)}\r\nConnection: close\r\n\r\n"
            return head.encode() + _BUSY
        reply = await self._forward(request)
        match fault:
            case Fault.LOST_REPLY:
                return b""
            case Fault.TORN_REPLY:
                return reply[: len(reply) - max(1, (len(reply) - reply.find(_END)) // 2)]
            case Fault.SLOW:
                await asyncio.sleep(self._slow_seconds)
        return reply

    async def _forward(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            writer.write(request)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


async def _read_request(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[bytes, Call]:
    """The whole request, to be sent on over a connection of its own."""
    first_line, *lines = head.removesuffix(_END).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "expect" in fields:
        writer.write(b"HTTP/1.1 100 Continue" + _END)
    if fields.get("transfer-encoding", "").lower() == "chunked":
        body = await reader.readuntil(b"0" + _END)
    else:
        body = await reader.readexactly(int(fields.get("content-length", 0)))
    kept = [line for line in lines if line.partition(":")[0].lower() not in {"expect", "connection"}]
    method, path, _ = first_line.split(" ")
    sent = "\r\n".join([first_line, *kept, "Connection: close"]).encode("latin-1")
    return sent + _END + body, Call(method, path)

"""Any OpenAI-compatible server (``vllm serve``, SGLang, Ollama, ...): chat completions over HTTP.

A request that the server cannot take now is sent again later (`llm_jobs.engines.backoff`); whatever else goes
wrong with it is its own typed failure. A server's Retry-After holds for all requests, not only for the one
that was told.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from typing import Final

from featurestore.errors import missing_extra
from llm_jobs.engine import Completion, EngineInfo, FailureReason, Request, failed_completion
from llm_jobs.engines.backoff import (
    LONGEST_WAIT,
    MAX_ATTEMPTS,
    MAX_TIMEOUTS,
    backoff_seconds,
    retry_after_seconds,
    worth_repeating,
)
from llm_jobs.engines.in_flight import InFlight
from llm_jobs.engines.openai_wire import (
    MalformedResponseError,
    NoResponseError,
    chat_payload,
    error_words,
    read_completion,
    says_too_long,
)
from llm_jobs.engines.options import EngineOptions
from llm_jobs.engines.request_loop import RequestLoop
from llm_jobs.entries import ModelEntry

_CONCURRENCY: Final = 32
_REFUSALS: Final = frozenset({400, 404, 422, 501})
"""What servers answer to a response_format that they do not know."""
_LOG: Final = logging.getLogger(__name__)


class OpenAIEngine:
    """An `LLMEngine` on a server.

    The server may keep prefixes and apply grammars or not. Answers of reasoning models are not held to a
    grammar, as in `llm_jobs.engines.vllm_offline`.

    Args:
        entry: Model and address.
        options: How many requests at once, and how long one may take.

    Raises:
        SetupError: If httpx2 or the key is not there, or the server does not serve the model.
    """

    def __init__(self, entry: ModelEntry, options: EngineOptions) -> None:
        if find_spec("httpx2") is None:
            raise missing_extra("httpx2", "http")
        from llm_jobs.engines.openai_server import OpenAIServer

        concurrency = options.max_num_seqs or _CONCURRENCY
        self._entry = entry
        self._server = OpenAIServer(entry, connections=concurrency, seconds=options.request_seconds)
        self._slots = asyncio.Semaphore(concurrency)
        self._takes_schema = entry.reasoning is None
        self._paused_until = 0.0
        """Until when, in monotonic seconds, the server has asked to be left alone."""
        self._rng = random.Random()  # noqa: S311 - jitter
        self._closed = False
        self._in_flight = InFlight()
        self._loop = RequestLoop("http-loop", self._in_flight)
        try:
            facts = self._loop.call(self._server.facts())
        except BaseException:
            self.close()
            raise
        known_context = facts.max_model_len or entry.context
        self._info = EngineInfo(
            name="openai",
            version=facts.version,
            device="remote",
            max_model_len=min(options.max_model_len or entry.context, known_context),
            concurrency=concurrency,
        )

    @property
    def info(self) -> EngineInfo:
        """See `LLMEngine.info`; the context is the server's, if it says one."""
        return self._info

    def submit(self, requests: Sequence[Request]) -> None:
        """See `LLMEngine.submit`.

        Raises:
            ValueError: If a key is in flight already, or the engine is closed.
        """
        if self._closed:
            raise ValueError("the engine is closed.")
        self._in_flight.add(requests)
        for request in requests:
            self._loop.start(request.key, partial(self._answer, request))

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`; returns at once if nothing is in flight."""
        return self._in_flight.poll(timeout)

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`; the connection is closed, at which servers stop computing."""
        if not self._closed:
            self._loop.abort(keys)

    def close(self) -> None:
        """See `LLMEngine.close`."""
        if not self._closed:
            self._closed = True
            self._loop.stop(self._server.close)

    async def _answer(self, request: Request) -> Completion:
        async with self._slots:
            timeouts = 0
            for attempt in range(1, MAX_ATTEMPTS + 1):
                await asyncio.sleep(self._paused_until - time.monotonic())
                outcome, wait = await self._attempt(request)
                timeouts += outcome.failure == "timeout"
                if wait is None or attempt == MAX_ATTEMPTS or timeouts >= MAX_TIMEOUTS:
                    return outcome
                await asyncio.sleep(max(wait, backoff_seconds(attempt, self._rng)))
        raise AssertionError("the last attempt returns")

    async def _attempt(self, request: Request) -> tuple[Completion, float | None]:
        """One exchange: its outcome, and the least seconds to wait if it is worth repeating, else None."""
        with_schema = self._takes_schema and request.output_schema is not None
        try:
            status, headers, body = await self._send(request, with_schema=with_schema)
            if status in _REFUSALS and with_schema and not says_too_long(status, body):
                words = self._words(body)
                status, headers, body = await self._send(request, with_schema=False)
                if status == 200 and self._takes_schema:
                    self._takes_schema = False
                    _LOG.warning("the server takes no response_format; answers are only checked: %s", words)
            if status == 200:
                return read_completion(request.key, body, self._entry.reasoning), None
        except NoResponseError as error:
            reason = "timeout" if error.timed_out else "engine_error"
            return failed_completion(request.key, reason, str(error)), 0.0
        except MalformedResponseError as error:
            return failed_completion(request.key, "engine_error", str(error)), 0.0
        return self._refusal(request.key, status, headers, body)

    async def _send(self, request: Request, *, with_schema: bool) -> tuple[int, Mapping[str, str], bytes]:
        payload = chat_payload(request, self._entry, with_schema=with_schema)
        return await self._server.post("chat/completions", payload)

    def _refusal(
        self, key: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> tuple[Completion, float | None]:
        detail = f"status {status}: {self._words(body)}"
        if says_too_long(status, body):
            return failed_completion(key, "prompt_too_long", detail), None
        reason: FailureReason = "engine_error" if status >= 500 else "refused_by_server"
        wait = retry_after_seconds(headers, datetime.now(UTC))
        if not worth_repeating(status):
            return failed_completion(key, reason, detail), None
        if wait > LONGEST_WAIT:
            detail = f"{detail} (it asks to wait {wait:.0f} seconds)"
            return failed_completion(key, "refused_by_server", detail), None
        self._paused_until = max(self._paused_until, time.monotonic() + wait)
        return failed_completion(key, reason, detail), wait

    def _words(self, body: bytes) -> str:
        return self._server.without_key(error_words(body))

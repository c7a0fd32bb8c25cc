"""The engine without a model: answers every schema with words of its own prompt, at once or with a delay.

Dry runs, tests and demonstrations of the machinery use it. Its answers depend on the conversation, the schema
and the seed only; options make it slow or faulty on chosen, repeatable requests.
"""

import heapq
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from blake3 import blake3

from llm_jobs.engine import Completion, EngineInfo, Message, Request, failed_completion

_VERSION: Final = "1"
_CHARS_PER_TOKEN: Final = 4
_SPAN_WORDS: Final = 12
_GIBBERISH: Final = "mumble mumble"
_QUOTES: Final = frozenset({"quote", "quotes"})
"""Properties that take a span of the input word for word; other texts begin with a word of their own."""


@dataclass(frozen=True, slots=True)
class EchoOptions:
    """How the engine behaves.

    Attributes:
        latency_seconds: Mean time to a completion; each takes 0.5 to 1.5 times of it.
        failure_rate: Share of requests that fail as ``engine_error``.
        gibberish_rate: Share of requests that are answered without JSON.
        hang_rate: Share of requests that get no outcome until they are aborted.
        reasoning: Opening and closing tag of thoughts to put before each answer; the opening one is left out,
            as models do whose chat template writes it.
        concurrency: Requests worth keeping in flight.
        max_model_len: Prompt and output tokens at most, at four characters a token.
        seed: Chooses which requests fail or hang, and how long each takes.
    """

    latency_seconds: float = 0.0
    failure_rate: float = 0.0
    gibberish_rate: float = 0.0
    hang_rate: float = 0.0
    reasoning: tuple[str, str] | None = None
    concurrency: int = 64
    max_model_len: int = 65536
    seed: int = 0


class EchoEngine:
    """Implements `llm_jobs.engine.LLMEngine` without a model."""

    def __init__(self, options: EchoOptions | None = None) -> None:
        self._options = options or EchoOptions()
        self._queue: list[tuple[float, int, str]] = []
        self._waiting: dict[str, Completion] = {}
        self._num_submitted = 0

    @property
    def info(self) -> EngineInfo:
        """See `LLMEngine.info`."""
        options = self._options
        return EngineInfo("echo", _VERSION, "cpu", options.max_model_len, options.concurrency)

    def submit(self, requests: Sequence[Request]) -> None:
        """See `LLMEngine.submit`."""
        for request in requests:
            if request.key in self._waiting:
                raise ValueError(f"request {request.key!r} is in flight already.")
            draw = _Draw(request, self._options.seed)
            self._enqueue(self._ready_at(draw), self._answer(request, draw))

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`."""
        deadline = time.monotonic() + timeout
        first = self._queue[0][0] if self._queue else deadline
        time.sleep(max(0.0, min(first, deadline) - time.monotonic()))
        now = time.monotonic()
        done: list[Completion] = []
        while self._queue and self._queue[0][0] <= now:
            _, _, key = heapq.heappop(self._queue)
            if key in self._waiting:
                done.append(self._waiting.pop(key))
        return done

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`."""
        for key in keys:
            if key in self._waiting:
                self._enqueue(0.0, failed_completion(key, "aborted", "given up by the caller"))

    def close(self) -> None:
        """See `LLMEngine.close`."""
        self._queue.clear()
        self._waiting.clear()

    def _ready_at(self, draw: "_Draw") -> float:
        if draw.share("hang") < self._options.hang_rate:
            return math.inf
        return time.monotonic() + self._options.latency_seconds * (0.5 + draw.share("latency"))

    def _enqueue(self, ready_at: float, completion: Completion) -> None:
        self._num_submitted += 1
        self._waiting[completion.key] = completion
        heapq.heappush(self._queue, (ready_at, self._num_submitted, completion.key))

    def _answer(self, request: Request, draw: "_Draw") -> Completion:
        prompt_tokens = _count_tokens(request.messages)
        needed = prompt_tokens + request.sampling.max_tokens
        if needed > self._options.max_model_len:
            detail = f"prompt and answer need {needed} tokens; the engine takes {self._options.max_model_len}"
            return failed_completion(request.key, "prompt_too_long", detail)
        if draw.share("failure") < self._options.failure_rate:
            return failed_completion(request.key, "engine_error", "a failure that was asked for")
        text = _GIBBERISH if draw.share("gibberish") < self._options.gibberish_rate else draw.answer()
        if self._options.reasoning is not None:
            text = f"Let me think: {draw.word()}.\n{self._options.reasoning[1]}\n{text}"
        return Completion(
            key=request.key,
            text=text,
            finish_reason="stop",
            prompt_tokens=prompt_tokens,
            cached_tokens=_count_tokens(request.messages[:-1]) if request.continues else 0,
            output_tokens=max(1, len(text) // _CHARS_PER_TOKEN),
        )


class _Draw:
    """Everything that is random about one request, from its content alone."""

    def __init__(self, request: Request, seed: int) -> None:
        content = [(message.role, message.content) for message in request.messages]
        stated = json.dumps([content, request.output_schema, request.sampling.seed])
        self._digest = blake3(stated.encode())
        self._seed = seed
        self._schema = request.output_schema
        self._words = _data_words(request.messages)

    def share(self, purpose: str) -> float:
        """A number in [0, 1), uniform over requests, that depends on the engine's seed."""
        return self._number(f"{purpose} {self._seed}") / 2**32

    def word(self) -> str:
        """A word that no other conversation gets."""
        return f"echo-{self._digest.hexdigest()[:10]}"

    def answer(self) -> str:
        """JSON for the schema, or plain words if there is none."""
        if self._schema is None:
            return f"{self.word()} {self._span('answer')}"
        return json.dumps(self._value(self._schema, "answer", "answer"), ensure_ascii=False)

    def _value(self, schema: Mapping[str, Any], name: str, path: str) -> object:
        match schema["type"]:
            case "object":
                properties: Mapping[str, Any] = schema["properties"]
                return {key: self._value(part, key, f"{path}.{key}") for key, part in properties.items()}
            case "array":
                least = max(1, schema.get("minItems", 1))
                count = least + self._number(path) % (schema.get("maxItems", least) - least + 1)
                return [self._value(schema["items"], name, f"{path}.{n}") for n in range(count)]
            case _:
                return self._string(schema, name, path)

    def _string(self, schema: Mapping[str, Any], name: str, path: str) -> str:
        span = self._span(path)
        text = span if name in _QUOTES else f"{self.word()} {span}"
        text = text[: schema.get("maxLength", len(text))].strip()
        return text.ljust(schema.get("minLength", 0), ".")

    def _span(self, path: str) -> str:
        start = self._number(path) % len(self._words)
        return " ".join(self._words[start : start + _SPAN_WORDS])

    def _number(self, purpose: str) -> int:
        return int.from_bytes(blake3(self._digest.digest() + purpose.encode()).digest()[:4], "little")


def _data_words(messages: Sequence[Message]) -> list[str]:
    """Words of the data block, or of the whole first user turn if it has none."""
    turn = next((message.content for message in messages if message.role == "user"), "")
    _, opened, rest = turn.partition("<data>")
    data = rest.partition("</data>")[0] if opened else turn
    return data.split() or ["nothing"]


def _count_tokens(messages: Sequence[Message]) -> int:
    return sum(len(message.content) // _CHARS_PER_TOKEN + 1 for message in messages)

"""The engine boundary: chat requests in, one outcome each, in any order.

Engines, each a file of `llm_jobs.engines`: ``echo`` (the fake), ``vllm_offline``, ``transformers_engine`` and
``openai_http``. All pass ``tests/contracts/test_engine_contract.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from featurestore.spec import Sampling

Role: TypeAlias = Literal["system", "user", "assistant"]
FailureReason: TypeAlias = Literal[
    "prompt_too_long", "engine_error", "aborted", "timeout", "refused_by_server"
]
"""``timeout``: no answer in the time allowed. ``refused_by_server``: a server said no, and would again."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """The one outcome of a request: a text, or a typed failure.

    Attributes:
        key: The request's key.
        text: Raw output, reasoning included; None on failure.
        finish_reason: ``stop`` (the model ended), ``length`` (cut off by max_tokens), ``failed``.
        prompt_tokens: Tokens of the prompt.
        cached_tokens: Prompt tokens whose keys and values were reused.
        output_tokens: Tokens generated, reasoning included.
        failure: Why there is no text.
        detail: The engine's own words about a failure.
        token_ids: Prompt and output token ids, from which a chain may be continued without tokenising again;
            empty if the engine has no tokens.
    """

    key: str
    text: str | None
    finish_reason: Literal["stop", "length", "failed"]
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    failure: FailureReason | None = None
    detail: str = ""
    token_ids: tuple[int, ...] = ()


def failed_completion(key: str, failure: FailureReason, detail: str, prompt_tokens: int = 0) -> Completion:
    """The outcome of a request that has no text.

    Args:
        key: The request's key.
        failure: Why.
        detail: The engine's own words.
        prompt_tokens: Tokens of the prompt, if they were counted.
    """
    return Completion(
        key=key,
        text=None,
        finish_reason="failed",
        prompt_tokens=prompt_tokens,
        failure=failure,
        detail=detail,
    )


@dataclass(frozen=True, slots=True)
class Request:
    """One chat turn to be answered.

    Attributes:
        key: Unique among the engine's requests; digest of everything that can change the answer.
        messages: The whole conversation, ending with a user turn.
        sampling: How tokens are drawn.
        output_schema: JSON schema the answer must match, for engines with grammars.
        continues: The completion that answers ``messages[:-1]``, if this engine made it: the engine may go on
            from its token ids, so that the prefix cache is hit.
        priority: Lower goes first.
    """

    key: str
    messages: tuple[Message, ...]
    sampling: Sampling
    output_schema: dict[str, Any] | None = None
    continues: Completion | None = None
    priority: int = 0


def over_long(request: Request, prompt_tokens: int, max_model_len: int) -> Completion | None:
    """The failure of a request whose prompt and longest answer exceed the context; None if they fit."""
    if prompt_tokens + request.sampling.max_tokens <= max_model_len:
        return None
    detail = (
        f"the prompt has {prompt_tokens} tokens and the answer may take {request.sampling.max_tokens}, "
        f"but the context holds {max_model_len}"
    )
    return failed_completion(request.key, "prompt_too_long", detail, prompt_tokens)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is, for lineage: it goes into every row's ``engine`` column.

    Attributes:
        name: Of the adapter, such as ``vllm``.
        version: Version of the engine's library; of a server, what it says about itself.
        device: ``cpu``, the GPU's name, or ``remote``.
        max_model_len: Prompt and output tokens at most, together.
        concurrency: Requests worth keeping in flight.
    """

    name: str
    version: str
    device: str
    max_model_len: int
    concurrency: int

    @property
    def engine_class(self) -> str:
        """``vllm-0.32.0-cpu``: outputs may differ between engine classes, never silently within a row."""
        return f"{self.name}-{self.version}-{self.device}".replace(" ", "_")


class LLMEngine(Protocol):
    """A batch engine. A request submitted after the first completion joins the running batch."""

    @property
    def info(self) -> EngineInfo:
        """What this engine is."""
        ...

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests. An over-long prompt becomes a failed completion, never a silent cut.

        Raises:
            ValueError: If a key is in flight already.
        """
        ...

    def poll(self, timeout: float) -> list[Completion]:
        """Completions that are ready, waiting up to ``timeout`` seconds for the first; each key once."""
        ...

    def abort(self, keys: Sequence[str]) -> None:
        """Give up on requests; each still gets its completion, failed as ``aborted`` unless done already."""
        ...

    def close(self) -> None:
        """Stop the engine and every process it started. May be called twice."""
        ...

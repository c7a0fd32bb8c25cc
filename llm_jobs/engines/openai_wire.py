"""What is said to an OpenAI-compatible server, and what it says: requests and responses as JSON."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError

from llm_jobs.engine import Completion, Request, failed_completion
from llm_jobs.entries import ModelEntry, ReasoningTags

_TOO_LONG: Final = re.compile(
    r"context[ _](length|window|size)|maximum (context|input|prompt)|(prompt|input).{0,40}too long"
    r"|too many (input )?tokens|exceeds? the (available|maximum|model'?s)",
    re.IGNORECASE,
)
"""How vLLM, SGLang, llama.cpp, Ollama and OpenAI say that a prompt is too long."""


class NoResponseError(Exception):
    """The server gave no complete response.

    Args:
        words: What happened, without the key.
        timed_out: Whether time ran out.
    """

    def __init__(self, words: str, *, timed_out: bool) -> None:
        super().__init__(words)
        self.timed_out = timed_out


class MalformedResponseError(Exception):
    """A response with status 200 that holds no answer."""


class _Lenient(BaseModel):
    """Part of a response; servers add fields of their own."""


class _Message(_Lenient):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """As newer servers call ``reasoning_content``."""
    refusal: str | None = None


class _Choice(_Lenient):
    message: _Message
    finish_reason: str | None = None


class _PromptDetails(_Lenient):
    cached_tokens: int | None = None


class _Usage(_Lenient):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None


class _Response(_Lenient):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def chat_payload(request: Request, entry: ModelEntry, *, with_schema: bool) -> dict[str, Any]:
    """The body of a chat completion request.

    What differs from the protocol's defaults only is sent where servers disagree: ``repetition_penalty`` and
    ``chat_template_kwargs`` are extensions that vLLM and SGLang know.

    Args:
        request: What to ask.
        entry: The model.
        with_schema: Whether the answer's schema goes along.
    """
    draw = request.sampling
    payload: dict[str, Any] = {
        "model": entry.server_model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": draw.temperature,
        "top_p": draw.top_p,
        "max_tokens": draw.max_tokens,
        "seed": draw.seed,
        "stream": False,
    }
    if draw.repetition_penalty != 1:
        payload["repetition_penalty"] = draw.repetition_penalty
    if entry.template_options:
        payload["chat_template_kwargs"] = entry.template_options
    if with_schema:
        schema = {"name": "answer", "schema": request.output_schema, "strict": True}
        payload["response_format"] = {"type": "json_schema", "json_schema": schema}
    return payload


def read_completion(key: str, body: bytes, tags: ReasoningTags | None) -> Completion:
    """The outcome in a response with status 200.

    Args:
        key: The request's key.
        body: The response.
        tags: The model's reasoning tags: thoughts that the server has split off are put back between them, so
            that all engines give the same kind of text. Thoughts of a model without tags are dropped.

    Raises:
        MalformedResponseError: If the body is no JSON, cut off, or no chat completion.
    """
    try:
        response = _Response.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise MalformedResponseError(f"the server's response is no chat completion: {found}") from None
    choice, usage = response.choices[0], response.usage or _Usage()
    if choice.finish_reason not in {"stop", "length"} or choice.message.refusal:
        ended = "a refusal" if choice.message.refusal else f"finish_reason {choice.finish_reason!r}"
        detail = f"the server ended the answer with {ended}"
        return failed_completion(key, "refused_by_server", detail, usage.prompt_tokens)
    details = usage.prompt_tokens_details
    return Completion(
        key=key,
        text=_text(choice, tags),
        finish_reason="stop" if choice.finish_reason == "stop" else "length",
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        output_tokens=usage.completion_tokens,
    )


def error_words(body: bytes) -> str:
    """What an error response says, in one line of 300 characters at most."""
    text = body.decode(errors="replace")
    try:
        stated: Any = json.loads(text)
    except ValueError:
        stated = text
    for name in ("error", "message", "detail"):
        stated = stated.get(name, stated) if isinstance(stated, Mapping) else stated
    return " ".join(str(stated).split())[:300]


def says_too_long(status: int, body: bytes) -> bool:
    """Whether an error response is about the length of the prompt."""
    return status in {400, 413, 422} and _TOO_LONG.search(body.decode(errors="replace")) is not None


def _text(choice: _Choice, tags: ReasoningTags | None) -> str:
    answer = choice.message.content or ""
    thoughts = choice.message.reasoning_content or choice.message.reasoning
    if tags is None or not thoughts:
        return answer
    cut_off = choice.finish_reason == "length" and not answer
    return f"{tags.open}{thoughts}" if cut_off else f"{tags.open}{thoughts}{tags.close}{answer}"

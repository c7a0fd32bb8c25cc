"""Conversations as token ids: the model's own chat template, and chains continued without tokenising again.

A chain asks several questions in one conversation. Rendering the whole conversation anew gives token ids that
differ from those the model generated, and with them the prefix cache is lost. So a next turn goes on from the
previous turn's ids, prompt and output, and only what the template adds after the answer is tokenised.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from featurestore.errors import SetupError, missing_extra
from llm_jobs.engine import Completion, Message, Request


class _Tokenizer(Protocol):
    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        **kwargs: bool | str,
    ) -> str: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str: ...

    @property
    def eos_token_id(self) -> int | None: ...


class ChatTokens:
    """Renders and tokenises conversations for one model.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        template_options: Variables for the template, such as ``enable_thinking``.
        reasoning: Whether the model thinks aloud: its thoughts are no part of the conversation that goes on,
            so its chains are rendered anew.
    """

    def __init__(
        self, tokenizer: _Tokenizer, template_options: Mapping[str, bool | str], *, reasoning: bool
    ) -> None:
        self._tokenizer = tokenizer
        self._options = dict(template_options)
        self._reasoning = reasoning

    def prompt_ids(self, request: Request) -> list[int]:
        """Token ids of a request's prompt, ending where the model's answer begins.

        Raises:
            SetupError: If the chat template refuses the conversation.
        """
        text = self._render(request.messages)
        if request.continues is not None:
            continued = self._continued(request.messages, request.continues, text)
            if continued is not None:
                return continued
        return self._tokenizer.encode(text, add_special_tokens=False)

    @property
    def end_ids(self) -> frozenset[int]:
        """The token that ends a turn, if the tokenizer names one."""
        end = self._tokenizer.eos_token_id
        return frozenset() if end is None else frozenset([end])

    def text(self, token_ids: list[int]) -> str:
        """The text of generated tokens, without the model's special ones."""
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)

    def _continued(self, messages: Sequence[Message], previous: Completion, text: str) -> list[int] | None:
        """The previous turn's ids and the template's next turn, or None where that is not the same chat."""
        answer = messages[-2].content if len(messages) >= 2 else ""
        if self._reasoning or not previous.token_ids or not _same_answer(previous.text, answer):
            return None
        before = self._render(messages[:-2])
        if not text.startswith(before + answer):
            return None  # the template rewrites earlier turns: it is not append-only
        rest = self._tokenizer.encode(text[len(before) + len(answer) :], add_special_tokens=False)
        ids = list(previous.token_ids)
        if rest and ids[-1] == rest[0]:
            rest = rest[1:]  # the model itself wrote the token that ends its turn
        return ids + rest

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, **self._options
            )
        except Exception as error:
            raise SetupError(
                f"the model's chat template refuses the conversation: {error}",
                hint="Use a model whose template takes a system turn, then user and assistant turns.",
            ) from error


def load_chat_tokens(
    folder: Path, template_options: Mapping[str, bool | str], *, reasoning: bool
) -> ChatTokens:
    """The tokenizer of a model folder.

    Raises:
        SetupError: If transformers is not installed or the tokenizer cannot be read.
    """
    try:
        from transformers import AutoTokenizer
    except ModuleNotFoundError:
        raise missing_extra("transformers", "vllm") from None
    try:
        # The length limit is ours to check: without one transformers would only warn, and warn often.
        tokenizer = AutoTokenizer.from_pretrained(str(folder), model_max_length=10**9)
    except Exception as error:
        raise SetupError(
            f"the tokenizer in {folder} cannot be read: {str(error)[:200]}",
            hint="Copy tokenizer.json and tokenizer_config.json from the model's repository into the folder.",
        ) from error
    return ChatTokens(tokenizer, template_options, reasoning=reasoning)


def _same_answer(generated: str | None, told: str) -> bool:
    """Whether the answer in the conversation is the generated one.

    White space around it and at the ends of its strings does not count, nor does the order of its keys: a
    model writes ``"a kettle "`` where its answer is told as ``"a kettle"``, and their tokens mean the same.
    """
    if generated is None:
        return False
    if generated.strip() == told.strip():
        return True
    try:
        return _stripped(json.loads(generated)) == _stripped(json.loads(told))
    except ValueError:
        return False


def _stripped(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str():
            return value.strip()
        case dict():
            return {name.strip(): _stripped(part) for name, part in value.items()}
        case list():
            return [_stripped(part) for part in value]
        case _:
            return value

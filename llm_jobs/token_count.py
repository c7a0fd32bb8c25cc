"""How many tokens a conversation takes: by the model's own tokenizer, or by its characters."""

from collections.abc import Sequence
from typing import Final, Protocol

from featurestore.errors import SetupError
from featurestore.spec import Sampling
from llm_jobs.engine import Message, Request
from llm_jobs.engines.chat_tokens import ChatTokens, load_chat_tokens
from llm_jobs.entries import ModelEntry
from llm_jobs.weights import locate_tokenizer

CHARS_PER_TOKEN: Final = 4
"""Of English prose; other scripts take more tokens."""
_TEMPLATE_TOKENS: Final = 4
"""What a chat template puts around a turn, about."""


class TokenCounter(Protocol):
    """Counts the tokens of conversations."""

    @property
    def name(self) -> str:
        """How it counts, in a few words."""
        ...

    def count(self, messages: Sequence[Message]) -> int:
        """Prompt tokens of a conversation, the chat template's own included."""
        ...

    def count_text(self, text: str) -> int:
        """Tokens of a text inside a turn."""
        ...


class CharacterCounter:
    """Four characters a token, and a few tokens around each turn.

    Args:
        template_tokens: Tokens around a turn.
    """

    def __init__(self, template_tokens: int = _TEMPLATE_TOKENS) -> None:
        self._template_tokens = template_tokens

    @property
    def name(self) -> str:
        """See `TokenCounter.name`."""
        return f"{CHARS_PER_TOKEN} characters a token"

    def count(self, messages: Sequence[Message]) -> int:
        """See `TokenCounter.count`."""
        return sum(self.count_text(message.content) + self._template_tokens for message in messages)

    def count_text(self, text: str) -> int:
        """See `TokenCounter.count_text`."""
        return len(text) // CHARS_PER_TOKEN


class TokenizerCounter:
    """The model's own tokenizer and chat template.

    Args:
        chat: Renders and tokenises conversations.
    """

    def __init__(self, chat: ChatTokens) -> None:
        self._chat = chat
        self._around = self._count("")

    @property
    def name(self) -> str:
        """See `TokenCounter.name`."""
        return "the model's own tokenizer"

    def count(self, messages: Sequence[Message]) -> int:
        """See `TokenCounter.count`."""
        return len(self._chat.prompt_ids(Request("", tuple(messages), Sampling())))

    def count_text(self, text: str) -> int:
        """See `TokenCounter.count_text`."""
        return max(0, self._count(text) - self._around)

    def _count(self, text: str) -> int:
        return self.count([Message("user", text)])


def token_counter(entry: ModelEntry) -> TokenCounter:
    """The best counter there is for a model: its tokenizer, if that and transformers are at hand."""
    if entry.engine == "echo":
        return CharacterCounter(template_tokens=1)
    if entry.engine == "openai" and entry.folder is None:
        return CharacterCounter()  # the server has the tokenizer
    try:
        folder = locate_tokenizer(entry).folder
        chat = load_chat_tokens(folder, entry.template_options, reasoning=entry.reasoning is not None)
        return TokenizerCounter(chat)
    except SetupError:
        return CharacterCounter()

"""Prompts that hold vectors among their words: each vector has a place of its own in the line of tokens.

LLMGR (arXiv 2402.16539) writes nodes and graphs of sessions into its prompts. What stands at such a place is
no word: the tokenizer never sees it, so none can split it, or join it with its neighbours. Words between two
places are tokenised by themselves; a place is a position in what comes out.

One input is what the tokenizer begins every text with (often nothing), the parts of the prompt, and the
entry's pooling token, whose state is read: our reconstruction, the paper does not say which position is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

from featurestore.errors import InputError
from featurestore.spec import EncoderSpec
from llm_jobs.encoders.last_token import load_pooling_tokens


@dataclass(frozen=True, slots=True)
class Node:
    """A place for the vector of an item.

    Attributes:
        item: Row of the item.
    """

    item: int


@dataclass(frozen=True, slots=True)
class Graph:
    """A place for the vector of a whole session.

    Attributes:
        session: Row of the session.
    """

    session: int


@dataclass(frozen=True, slots=True)
class Title:
    """Text of an item: data, which is cut at its end where there is no room for all of it.

    Attributes:
        text: In which special tokens are words like others.
    """

    text: str


Part: TypeAlias = str | Title | Node | Graph
"""Words of the prompt itself, data, or a place."""


@dataclass(frozen=True, slots=True)
class HybridInput:
    """One prompt, tokenised.

    Attributes:
        token_ids: A token at every position; at a place, one whose embedding nobody reads.
        places: Ascending positions of vectors, and what stands at each.
    """

    token_ids: tuple[int, ...]
    places: tuple[tuple[int, Node | Graph], ...]

    def __len__(self) -> int:
        return len(self.token_ids)


class HybridTokens:
    """Makes inputs of prompts.

    Args:
        tokenizer: A tokenizer of transformers.
        start: Tokens that begin every input.
        end: The pooling token.
        max_tokens: Of an input at most.
    """

    def __init__(self, tokenizer: Any, start: Sequence[int], end: int, max_tokens: int) -> None:  # noqa: ANN401 - a type of transformers
        self._tokenizer = tokenizer
        self._start, self._end = tuple(start), end
        self._max_tokens = max_tokens
        self._words: dict[str, list[int]] = {}

    def input(self, parts: Sequence[Part]) -> HybridInput:
        """A prompt as tokens and places.

        Raises:
            InputError: If words and places alone take more than ``max_tokens``.
        """
        fixed = sum(self._length(part) for part in parts) + len(self._start) + 1
        room = self._max_tokens - fixed
        if room < 0:
            raise InputError(
                f"a prompt takes {fixed} tokens without any title; {self._max_tokens} are read.",
                hint="Set max_nodes or num_candidates lower, or max_tokens higher.",
            )
        pieces = [list(self._start)]
        for part in parts:
            piece = self._piece(part, room)
            room -= len(piece) if isinstance(part, Title) else 0
            pieces.append(piece)
        begins = accumulate(len(piece) for piece in pieces[:-1])  # of each part
        places = [(b, p) for b, p in zip(begins, parts, strict=True) if isinstance(p, Node | Graph)]
        ids = [token for piece in pieces for token in piece]
        return HybridInput((*ids, self._end), tuple(places))

    def _length(self, part: Part) -> int:
        return 0 if isinstance(part, Title) else len(self._piece(part, 0))

    def _piece(self, part: Part, room: int) -> list[int]:
        match part:
            case Title(text):
                ids: list[int] = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
                    "input_ids"
                ]
                return ids[:room]
            case str():
                if part not in self._words:
                    self._words[part] = self._tokenizer(part, add_special_tokens=False)["input_ids"]
                return self._words[part]
            case _:
                return [self._end]


def load_hybrid_tokens(folder: Path, spec: EncoderSpec) -> HybridTokens:
    """The tokenizer of a decoder's folder, for prompts with vectors.

    Args:
        folder: Of the decoder.
        spec: Gives pooling token and length; its instruction is not read.

    Raises:
        SetupError: If transformers is not installed, the tokenizer cannot be read or lacks the pooling token,
            or the spec reads more tokens than the decoder can.
    """
    from transformers import AutoTokenizer

    bare = load_pooling_tokens(folder, spec.model_copy(update={"instruction": ""}))
    *start, end = bare.token_ids([""])[0]
    tokenizer = AutoTokenizer.from_pretrained(str(folder), model_max_length=10**9)
    return HybridTokens(tokenizer, start, end, spec.max_tokens)

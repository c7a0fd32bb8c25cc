"""What two texts have in common, word by word."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, TypeAlias

SideLetter: TypeAlias = Literal["a", "b"]
"""The first or the second of two things compared."""


@dataclass(frozen=True, slots=True)
class WordRun:
    """Neighbouring words of a difference.

    Attributes:
        side: ``a``: only the first text has them; ``b``: only the second; None: both.
        text: The words.
    """

    side: SideLetter | None
    text: str


def word_similarity(first: str | None, second: str | None) -> float:
    """Share of equal words in equal order, 0 to 1 (Ratcliff and Obershelp); -1 if a text is absent."""
    if first is None or second is None:
        return -1.0
    return SequenceMatcher(None, first.split(), second.split(), autojunk=False).ratio()


def word_difference(first: str, second: str) -> tuple[WordRun, ...]:
    """The words that lead from the first text to the second."""
    words = first.split(), second.split()
    runs: list[WordRun] = []
    for kind, a_start, a_end, b_start, b_end in SequenceMatcher(None, *words, autojunk=False).get_opcodes():
        if kind == "equal":
            runs.append(WordRun(None, " ".join(words[0][a_start:a_end])))
            continue
        if a_end > a_start:
            runs.append(WordRun("a", " ".join(words[0][a_start:a_end])))
        if b_end > b_start:
            runs.append(WordRun("b", " ".join(words[1][b_start:b_end])))
    return tuple(runs)

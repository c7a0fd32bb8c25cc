"""What a stored text must not be: too short, in another language, a refusal, boilerplate, a loop, an echo.

Each check is a pure function from a text to the sentence that says what is wrong, or None. The sentence is
shown to the model when it is asked again. A wrong alarm costs a good answer, a missed one a poor text among
many, so every check asks for plain evidence.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final, Literal, TypeAlias

from pydantic import Field

from featurestore.answer_phrases import BOILERPLATE, PLACEHOLDER, REFUSAL, THOUGHT
from featurestore.spec import Frozen
from llm_jobs.language import Language, other_language

CheckName: TypeAlias = Literal[
    "too_short", "wrong_language", "refusal", "boilerplate", "repetition", "prompt_echo", "think_leak"
]
"""A check is called as the failure that it finds."""


class Checks(Frozen):
    """What the texts of a stage are checked for: the section ``[stages.checks]`` of a prompt file."""

    min_chars: int = Field(default=3, ge=1)
    """Letters and digits that the stored text has at least."""
    language: Language | None = None
    """Language of the answer; not checked if none is declared."""
    refused_phrases: tuple[str, ...] = ()
    """Further phrases that no text may hold, whatever their case."""
    skip: tuple[CheckName, ...] = ()
    """Checks that are not made."""


_LONG_CYCLE: Final = 8
"""Words of a cycle that is a loop when it comes twice; shorter ones come three times in honest prose too."""
_MIN_REPEATED_WORDS: Final = 4
_MIN_WORDS_FOR_VARIETY: Final = 24
_MIN_VARIETY: Final = 0.7
"""Distinct runs of four words over all runs: of 9,000 texts of large models none is below 0.76."""
_TOKEN_LOOP = re.compile(r"(.{1,12}?)\1{7,}")
_LONG_TOKEN: Final = 24

_ECHO_RUN: Final = 12
"""Words in a row that nobody finds anew."""
_ECHO_PIECE: Final = 4
_MIN_ECHO_WORDS: Final = 6
_MAX_ECHO_SHARE: Final = 0.7
_WORD = re.compile(r"\w+(?:['\u2019]\w+)?")


def first_problem(
    texts: Mapping[str, str], checks: Checks, *, instructions: Sequence[str], data: str
) -> tuple[CheckName, str] | None:
    """The first thing wrong with the texts of an answer, and a sentence about it; None if all is well.

    Args:
        texts: The strings that make up the stored text, by where they stand in the answer.
        checks: What to check.
        instructions: System text and question, which an answer must not repeat.
        data: The entity's data as the model saw it, which an answer may repeat; empty if not known.
    """
    found = _problems(texts, checks, instructions, data)
    return next(((name, said) for name, said in found if name not in checks.skip), None)


def _problems(
    texts: Mapping[str, str], checks: Checks, instructions: Sequence[str], data: str
) -> Iterator[tuple[CheckName, str]]:
    whole = "\n".join(texts.values())
    if said := too_short(whole, checks.min_chars):
        yield "too_short", said
    for where, text in texts.items():
        if said := refusal(text):
            yield "refusal", f"{where} {said}"
        if said := thought(text):
            yield "think_leak", f"{where} {said}"
        if said := boilerplate(text, checks.refused_phrases):
            yield "boilerplate", f"{where} {said}"
        if said := repetition(text):
            yield "repetition", f"{where} {said}"
        if said := prompt_echo(text, instructions, data):
            yield "prompt_echo", f"{where} {said}"
    if checks.language and (said := wrong_language(whole, checks.language)):
        yield "wrong_language", said


def too_short(text: str, min_chars: int) -> str | None:
    """Fewer letters and digits than asked for."""
    count = sum(1 for _ in islice(filter(str.isalnum, text), min_chars))
    if count >= min_chars:
        return None
    return f"the text has {count} letters, and at least {min_chars} are needed to say anything"


def wrong_language(text: str, language: Language) -> str | None:
    """Plainly in another language (see `llm_jobs.language`)."""
    found = other_language(text, language)
    return f"the text must be in the language {language!r}, but it is in {found}" if found else None


def refusal(text: str) -> str | None:
    """The model declines, or speaks of itself."""
    found = REFUSAL.search(text.lower())
    return f"says {_shown(found[0])} instead of answering from the data" if found else None


def boilerplate(text: str, refused_phrases: Collection[str] = ()) -> str | None:
    """Advertising, chat phrases around an answer, or a word that stands in for one."""
    if PLACEHOLDER.fullmatch(text.lower()):
        return f"holds only {_shown(text)}, which says nothing about the data"
    found = BOILERPLATE.search(text.lower())
    refused = (phrase for phrase in refused_phrases if phrase.casefold() in text.casefold())
    phrase = found[0] if found else next(refused, None)
    return f"says {_shown(phrase)}, which tells nothing about this entity" if phrase else None


def thought(text: str) -> str | None:
    """The model thinks aloud where it should answer."""
    found = THOUGHT.search(text.lower())
    return f"thinks aloud ({_shown(found[0])}) instead of stating the answer" if found else None


def repetition(text: str) -> str | None:
    """The same words over and over, in a cycle or in slight variations."""
    words = [word.casefold() for word in _WORD.findall(text)]
    cycle = _cycle(words)
    if cycle:
        return f"repeats {_shown(' '.join(cycle))} again and again"
    for token in text.split():
        if len(token) > _LONG_TOKEN and (found := _TOKEN_LOOP.search(token)):
            return f"repeats {_shown(found[1])} again and again"
    runs = list(_runs(words, 4))
    if len(words) >= _MIN_WORDS_FOR_VARIETY and len(set(runs)) < _MIN_VARIETY * len(runs):
        return "says the same in the same words several times"
    return None


def prompt_echo(text: str, instructions: Sequence[str], data: str) -> str | None:
    """Repeats the instructions: a long run of their words, or hardly anything else."""
    words = [word.casefold() for word in _WORD.findall(text)]
    longest, covered = _overlap(words, _pieces(*instructions), _pieces(data))
    if longest >= _ECHO_RUN or (covered >= _MIN_ECHO_WORDS and covered >= _MAX_ECHO_SHARE * len(words)):
        return "repeats the words of the instructions instead of answering them"
    return None


def _cycle(words: Sequence[str]) -> Sequence[str]:
    """The cycle of words that a text falls into, wherever it stands; empty if there is none.

    Equal runs of three words at equal distances mean a period: one pass finds every cycle.
    """
    last: dict[tuple[str, ...], int] = {}
    period = matched = 0
    for position, run in enumerate(_runs(words, 3)):
        distance = position - last.get(run, position)
        last[run] = position
        matched = matched + 1 if distance and distance == period else (3 if distance else 0)
        period = distance
        end = position + 3
        repeated = matched + (end == len(words) - 1 and words[end - period].startswith(words[end]))
        wanted = period if period >= _LONG_CYCLE else 2 * period
        if period and repeated >= max(wanted, _MIN_REPEATED_WORDS):
            return words[end - period : end]
    return ()


def _overlap(
    words: Sequence[str], told: frozenset[tuple[str, ...]], given: frozenset[tuple[str, ...]]
) -> tuple[int, int]:
    """(longest run of words that the instructions hold and the data does not, words in such runs of four)."""
    longest = current = covered = 0
    for run in _runs(words, _ECHO_PIECE):
        if run in told and run not in given:
            covered += 1 if current else _ECHO_PIECE
            current += 1 if current else _ECHO_PIECE
            longest = max(longest, current)
        else:
            current = 0
    return longest, min(covered, len(words))


@lru_cache(maxsize=256)
def _pieces(*texts: str) -> frozenset[tuple[str, ...]]:
    words = ([word.casefold() for word in _WORD.findall(text)] for text in texts)
    return frozenset(run for part in words for run in _runs(part, _ECHO_PIECE))


def _runs(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(length)), strict=False)


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text[:57]}..."' if len(text) > 60 else f'"{text}"'

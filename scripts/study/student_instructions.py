"""General instructions for scripts/students.py, made by template: what a student should still be able to do.

``mixed`` holds the kinds that are mixed in. ``others`` holds kinds that no student learns from: their loss
tells of forgetting alone, and not of templates learned.
"""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_SEED: Final = 7
_PER_KIND: Final = 20
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def mixed() -> list[dict[str, str]]:
    """The file of ``--general``: rows of nine kinds, about as many of each, none twice."""
    draw = random.Random(_SEED)  # noqa: S311 - no secret
    facts = _facts()
    rows = [row for number in range(_PER_KIND) for row in _of_each_kind(number, facts, draw)]
    return list({(row["instruction"], row["input"]): row for row in rows}.values())


def others() -> list[dict[str, str]]:
    """Instructions of kinds that are not in `mixed`."""
    facts = _facts()
    rows = [_row(f"What is {name}?", said) for name, said in facts["definitions"].items()]
    return rows + [_row(f"Explain why {fact}.", said) for fact, said in facts["reasons"].items()]


def _facts() -> dict[str, Any]:
    """Words, capitals, definitions and reasons."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _of_each_kind(number: int, facts: dict[str, Any], draw: random.Random) -> Iterator[dict[str, str]]:
    """The row of this number of every kind.

    Args:
        number: From 0, below the number of words and of capitals.
        facts: See `_facts`.
        draw: Draws numbers, words and days.
    """
    yield from _sums(draw.randint(10, 99), draw.randint(10, 99))
    yield from _lists(draw.sample(facts["words"], 4))
    country, capital = list(facts["capitals"].items())[number]
    yield _row(f"What is the capital of {country}?", f"The capital of {country} is {capital}.")
    today, days = draw.randrange(7), draw.randint(2, 6)
    later = _DAYS[(today + days) % 7]
    yield _row(f"Today is {_DAYS[today]}. Which day is it in {days} days?", f"It will be {later}.")
    word = facts["words"][number]
    yield _row(f"How many letters does the word {word} have?", f"The word {word} has {len(word)} letters.")


def _sums(first: int, second: int) -> Iterator[dict[str, str]]:
    total = first + second
    yield _row(f"What is {first} plus {second}?", f"{first} plus {second} is {total}.")
    yield _row(f"What is {total} minus {second}?", f"{total} minus {second} is {first}.")


def _lists(words: list[str]) -> Iterator[dict[str, str]]:
    listed = ", ".join(words)
    yield _row("Sort these words in alphabetical order.", ", ".join(sorted(words)), listed)
    yield _row("Which of these words comes last in the alphabet?", max(words), listed)
    yield _row("Write these words in capital letters.", listed.upper(), listed)
    yield _row("Write these words in the opposite order.", ", ".join(reversed(words)), listed)


def _row(instruction: str, output: str, given: str = "") -> dict[str, str]:
    return {"instruction": instruction, "input": given, "output": output}

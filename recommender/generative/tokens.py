"""Numbers and words of users and items, as tokens that T5 reads and writes.

An item is w tokens, one of each level, and every item has others:

    sequential    its place in P5's order: user after user, each history from first to last item, test items
                  included; neighbours in a history have neighbouring numbers, which gives held-out items away
    shuffled      a number drawn without regard to anything
    codes         its semantic id: codes, coarse to fine, and the collision digit

A number is written with ``num_digits`` digits to the smallest base that suffices, where T5's own tokenizer
cuts it into two or three pieces; user u is number u. A digit of level l is a token of its own. Ours: an item
is its digits only, without the words "item" and "_", and ends when its last level is written.

Letters: U users, I items, w levels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from featurestore.errors import InputError
from featurestore.spec import Frozen
from recommender.data import Histories, IntArray

Task: TypeAlias = Literal["sequential", "direct"]
TASKS: Final[tuple[Task, ...]] = ("sequential", "direct")
Template: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens before the user's word, and between it and the items' words."""
PAD: Final = 0
"""T5's padding, which is also what its decoder begins with."""
_NUM_SPECIAL: Final = 2  # padding and the end of a text


def sequential_numbers(histories: Histories, num_items: int) -> IntArray:
    """P5's numbers: (I,) int64 in order of first appearance; items that nobody had come last.

    Args:
        histories: Whole ones, held-out events included: this is what leaks.
        num_items: I.
    """
    seen, first = np.unique(histories.items, return_index=True)
    absent = np.setdiff1d(np.arange(num_items), seen)
    numbers = np.empty(num_items, np.int64)
    numbers[np.concatenate([seen[np.argsort(first)], absent])] = np.arange(num_items)
    return numbers


def shuffled_numbers(num_items: int, seed: int) -> IntArray:
    """(I,) int64: each of 0 to I - 1 once."""
    return np.random.default_rng([seed, 0x1D]).permutation(num_items)


def digits_of(numbers: IntArray, num_digits: int) -> IntArray:
    """(n, num_digits) int64 digits of n numbers below n, the most significant first."""
    base = 1
    while base**num_digits < len(numbers):
        base += 1
    places = base ** np.arange(num_digits - 1, -1, -1)
    return numbers[:, None] // places % base


def require_distinct(digits: IntArray) -> IntArray:
    """The digits of all items, after a look at whether each item has others.

    Raises:
        InputError: If two are equal, or one is negative.
    """
    if digits.ndim != 2 or digits.shape[1] < 1 or (digits < 0).any():
        raise InputError(
            f"items are named by rows of digits from 0; got {digits.dtype} of shape {digits.shape}."
        )
    unique, counts = np.unique(digits, axis=0, return_counts=True)
    if len(unique) != len(digits):
        row = unique[counts.argmax()]
        raise InputError(
            f"{len(digits) - len(unique)} items have the tokens of another one, such as {row.tolist()}.",
            hint="Semantic ids need their collision digit as the last column.",
        )
    return digits


_TEXTS: Final[Mapping[Task, tuple[str, str]]] = {
    "sequential": ("what comes next ? user", "bought"),
    "direct": ("what is best ? user", "chooses from"),
}


class TaskWords(Frozen):
    """The words of the tasks, in tokens.

    Attributes:
        templates: Those of each task.
        num_tokens: Tokens below which all of them are; digits come after.
    """

    templates: dict[Task, Template]
    num_tokens: int


def words_of(read: Callable[[str], Sequence[int]], num_tokens: int) -> TaskWords:
    """The words of the tasks, as a tokenizer reads them: text → tokens below ``num_tokens``."""
    templates: dict[Task, Template] = {
        task: (tuple(read(before)), tuple(read(between))) for task, (before, between) in _TEXTS.items()
    }
    return TaskWords(templates=templates, num_tokens=num_tokens)


def words_as_tokens() -> TaskWords:
    """The words of the tasks where each word is one token."""
    words = sorted({word for texts in _TEXTS.values() for text in texts for word in text.split()})
    return words_of(
        lambda text: [_NUM_SPECIAL + words.index(word) for word in text.split()], _NUM_SPECIAL + len(words)
    )


@dataclass(frozen=True)
class Vocabulary:
    """Token numbers.

    Attributes:
        words: Of the tasks.
        item_tokens: (I, w) int64.
        user_tokens: (U, w') int64.
        level_starts: (w,) int64: the token of digit 0 of each level.
        level_sizes: (w,) int64 digits of each level.
        size: Tokens in all.
    """

    words: TaskWords
    item_tokens: IntArray
    user_tokens: IntArray
    level_starts: IntArray
    level_sizes: IntArray
    size: int

    @property
    def num_levels(self) -> int:
        """Tokens of an item: w."""
        return len(self.level_sizes)

    @property
    def item_digits(self) -> IntArray:
        """(I, w) int64."""
        return self.item_tokens - self.level_starts


def new_vocabulary(
    item_digits: IntArray, num_users: int, num_digits: int, words: TaskWords | None = None
) -> Vocabulary:
    """Words first, then digits of items by level, then digits of users by level.

    Args:
        item_digits: (I, w) int64, distinct.
        num_users: U.
        num_digits: w' of users.
        words: Of the tasks; None: each word is one token.
    """
    words = words or words_as_tokens()
    sizes = item_digits.max(axis=0) + 1  # (w,)
    starts = words.num_tokens + np.cumsum(sizes) - sizes
    user_digits = digits_of(np.arange(num_users), num_digits)
    user_sizes = user_digits.max(axis=0) + 1
    user_starts = words.num_tokens + int(sizes.sum()) + np.cumsum(user_sizes) - user_sizes
    return Vocabulary(
        words=words,
        item_tokens=item_digits + starts,
        user_tokens=user_digits + user_starts,
        level_starts=starts,
        level_sizes=sizes,
        size=words.num_tokens + int(sizes.sum() + user_sizes.sum()),
    )

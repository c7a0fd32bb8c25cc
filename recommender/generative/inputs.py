"""What T5 reads: the user's word and items' words between the words of a task.

    sequential    what comes next ? user  u  bought        i_1 … i_n      the history, oldest first
    direct        what is best ? user     u  chooses from  i_1 … i_n      the candidates, in random order

The sentences are ours, as are the users of a batch: each once, its next item drawn uniformly from the
training history but for the first, and all that came before it read, ``max_history`` items at most (the
authors' code draws where a history begins, too). In the direct task the answer is drawn from all training
items, the other candidates from those that the user did not have in training.

Letters: B lines, T tokens, n items of the longest line, w levels of an item.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.errors import InputError
from featurestore.ids import RowArray
from recommender.data import Histories, IntArray, TrainingData
from recommender.generative.config import GenerativeConfig
from recommender.generative.tokens import PAD, Task, Vocabulary

_POOLED_BATCHES: Final = 16
"""Lines of so many batches are sorted by length together: little padding, and batches that still differ."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Lines of one task.

    Attributes:
        task: Which.
        users: (B,) int64 user rows, distinct in training.
        items: (B, n) int64 item rows, -1 where a line has fewer.
        tokens: (B, T) int64, padded at the end.
        nodes: (B, T) int64: u at the tokens of user u, U + i at those of item i, -1 at all others.
        places: (B, T) int64: the number of the word from 1 (the user's is 1), 0 at tokens of no word.
    """

    task: Task
    users: IntArray
    items: IntArray
    tokens: IntArray
    nodes: IntArray
    places: IntArray

    @property
    def is_token(self) -> npt.NDArray[np.bool_]:
        """(B, T) bool: false at padding."""
        return self.tokens != PAD


@dataclass(frozen=True, slots=True)
class Examples:
    """Lines to learn from.

    Attributes:
        inputs: What is read.
        targets: (B,) int64 item rows that are to be written.
    """

    inputs: Inputs
    targets: IntArray


def make_inputs(vocabulary: Vocabulary, task: Task, users: RowArray, items: IntArray) -> Inputs:
    """Lines of users and items.

    Args:
        vocabulary: Tokens.
        task: Which.
        users: (B,) int64 user rows.
        items: (B, n) int64 item rows, -1 anywhere in a line that has fewer.
    """
    before, between = vocabulary.words.templates[task]
    longest = int((items >= 0).sum(axis=1).max(initial=0))
    num_users, levels = len(vocabulary.user_tokens), vocabulary.num_levels
    order = np.argsort(items < 0, axis=1, kind="stable")  # items first, in their order
    read = np.take_along_axis(items, order, axis=1)[:, :longest]
    known = np.repeat(read >= 0, levels, axis=1)  # (B, n w)
    item_tokens = vocabulary.item_tokens[read].reshape(len(users), -1)
    item_nodes = np.repeat(num_users + read, levels, axis=1)
    item_places = np.repeat(np.broadcast_to(np.arange(read.shape[1]) + 2, read.shape), levels, axis=1)
    own = vocabulary.user_tokens[users]  # (B, w')

    def lines(first: IntArray, word: IntArray, second: IntArray, rest: IntArray) -> IntArray:
        return np.concatenate([first, word, second, rest], axis=1)

    def same(values: tuple[int, ...]) -> IntArray:
        return np.tile(np.array(values, np.int64), (len(users), 1))

    def nowhere(values: tuple[int, ...], value: int) -> IntArray:
        return np.full((len(users), len(values)), value, np.int64)

    own_nodes = np.tile(users[:, None], (1, own.shape[1]))
    return Inputs(
        task=task,
        users=users,
        items=read,
        tokens=lines(same(before), own, same(between), np.where(known, item_tokens, PAD)),
        nodes=lines(nowhere(before, -1), own_nodes, nowhere(between, -1), np.where(known, item_nodes, -1)),
        places=lines(
            nowhere(before, 0), np.ones_like(own), nowhere(between, 0), np.where(known, item_places, 0)
        ),
    )


def next_item_lines(
    histories: Histories, users: RowArray, ends: IntArray, max_history: int
) -> tuple[IntArray, IntArray]:
    """What came before some events, and what they were: (B, max_history) and (B,) int64.

    Args:
        histories: Row r is user r's.
        users: (B,) int64.
        ends: (B,) int64 place of each event in its history, from 1.
        max_history: Items before it at most.
    """
    stops = histories.indptr[users] + ends  # (B,)
    places = stops[:, None] + np.arange(-max_history, 0)
    absent = places < histories.indptr[users][:, None]
    return np.where(absent, -1, histories.items[np.maximum(places, 0)]), histories.items[stops]


class BatchSampler:
    """Every user with two training events once per epoch, and direct batches in between.

    Args:
        config: Says which batches are direct ones.
        data: Its training events.
        vocabulary: Tokens.

    Raises:
        InputError: If there are direct batches, and no user has enough items to choose from.
    """

    def __init__(self, config: GenerativeConfig, data: TrainingData, vocabulary: Vocabulary) -> None:
        self._config = config
        self._data = data
        self._vocabulary = vocabulary
        self._users = np.flatnonzero(data.histories.lengths > 1)
        free = data.num_items - data.seen.degrees
        self._choosers = np.flatnonzero((data.seen.degrees > 0) & (free >= config.candidates - 1))
        if config.direct_every and not len(self._choosers):
            raise InputError(
                f"the direct task chooses from {config.candidates} items, of which a user had one; no user "
                f"has so many among {data.num_items}.",
                hint="Set fewer candidates, or leave the direct task out: direct_every=0.",
            )

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._users) // self._config.batch_size)

    def epoch(self, generator: np.random.Generator) -> Iterator[Examples]:
        """One epoch."""
        every = self._config.direct_every
        for number, examples in enumerate(self._sequential(generator), start=1):
            if every and number % every == 0:
                yield self._direct(generator, len(examples.targets))
            else:
                yield examples

    def _sequential(self, generator: np.random.Generator) -> Iterator[Examples]:
        histories, size = self._data.histories, self._config.batch_size
        users = generator.permutation(self._users)
        ends = generator.integers(1, histories.lengths[users])
        pool = _POOLED_BATCHES * size
        batches: list[IntArray] = []
        for start in range(0, len(users), pool):
            lengths = np.minimum(ends[start : start + pool], self._config.max_history)
            order = start + np.argsort(lengths, kind="stable")
            batches.extend(order[at : at + size] for at in range(0, len(order), size))
        for number in generator.permutation(len(batches)):
            chosen = batches[number]
            items, targets = next_item_lines(histories, users[chosen], ends[chosen], self._config.max_history)
            yield Examples(make_inputs(self._vocabulary, "sequential", users[chosen], items), targets)

    def _direct(self, generator: np.random.Generator, count: int) -> Examples:
        seen, count = self._data.seen, min(count, len(self._choosers))
        users = np.sort(generator.choice(self._choosers, size=count, replace=False))
        targets = seen.items[seen.indptr[users] + generator.integers(0, seen.degrees[users])]
        lines = np.empty((count, self._config.candidates), np.int64)
        for line, (user, target) in enumerate(zip(users, targets, strict=True)):
            own = seen.of(user)
            drawn = generator.permutation(self._data.num_items)[: self._config.candidates + len(own)]
            others = drawn[~np.isin(drawn, own)][: self._config.candidates - 1]
            lines[line] = generator.permutation(np.append(others, target))
        return Examples(make_inputs(self._vocabulary, "direct", users, lines), targets)

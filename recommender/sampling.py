"""Batches of (user, positive, negative): uniform negatives that are never a training positive."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommender.data import IntArray, TrainingData


@dataclass(frozen=True, slots=True)
class PairBatch:
    """b training triples.

    Attributes:
        users: (b,) int64.
        positives: (b,) int64 items the users have in training.
        negatives: (b,) int64 items they have not.
    """

    users: IntArray
    positives: IntArray
    negatives: IntArray

    def __len__(self) -> int:
        return len(self.users)


class PairSampler:
    """Every training pair once per epoch, in random order, each with one uniform negative.

    Users who have every item cannot have a negative; their pairs are left out of batches.

    Args:
        data: Training pairs.
        batch_size: Triples per batch; the last batch of an epoch may be smaller.
    """

    def __init__(self, data: TrainingData, batch_size: int) -> None:
        has_negative = data.seen.degrees[data.train_users] < data.num_items
        self._users = data.train_users[has_negative]
        self._items = data.train_items[has_negative]
        self._positive_keys = data.train_users * data.num_items + data.train_items  # ascending
        self._num_items = data.num_items
        self._batch_size = batch_size

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._users) // self._batch_size)

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """One epoch of batches."""
        order = generator.permutation(len(self._users))
        users, positives = self._users[order], self._items[order]
        negatives = sample_negatives(users, self._positive_keys, self._num_items, generator)
        for start in range(0, len(order), self._batch_size):
            part = slice(start, start + self._batch_size)
            yield PairBatch(users[part], positives[part], negatives[part])


def sample_negatives(
    users: IntArray, positive_keys: IntArray, num_items: int, generator: np.random.Generator
) -> IntArray:
    """One item per user, uniform over the items the user has not; hits are drawn again.

    Args:
        users: (b,) int64, each with at least one item left.
        positive_keys: (n,) int64 ``user * num_items + item``, ascending, not empty.
        num_items: Items to draw from.
        generator: Source of the draws.

    Returns:
        (b,) int64.
    """
    negatives = generator.integers(num_items, size=len(users))
    open_draws = np.arange(len(users))
    while len(open_draws):
        keys = users[open_draws] * num_items + negatives[open_draws]
        places = np.minimum(np.searchsorted(positive_keys, keys), len(positive_keys) - 1)
        open_draws = open_draws[positive_keys[places] == keys]
        negatives[open_draws] = generator.integers(num_items, size=len(open_draws))
    return negatives

"""Batches of (user, positive, negatives): negatives are never a training positive of their user.

Candidates are uniform over the catalogue, in proportion to a power of popularity, or positives of other pairs
of the batch (in-batch). A loss that takes the highest scored of M candidates makes any of them dynamic hard
negatives (Zhang et al., "Optimizing Top-N Collaborative Filtering via Dynamic Negative Item Sampling", SIGIR
2013).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from recommender.data import IntArray, TrainingData

Negatives: TypeAlias = Literal["uniform", "popularity", "in_batch"]
Draw: TypeAlias = Callable[[int, np.random.Generator], IntArray]
"""(how many, generator) → that many item rows."""

_MOST_DRAWS = 100
"""A user whom skewed draws hit so often in a row gets uniform ones."""


@dataclass(frozen=True, slots=True)
class PairBatch:
    """b training pairs, each with M negatives.

    Attributes:
        users: (b,) int64.
        positives: (b,) int64 items the users have in training.
        negatives: (b, M) int64 items they have not.
    """

    users: IntArray
    positives: IntArray
    negatives: IntArray

    def __len__(self) -> int:
        return len(self.users)


class PairSampler:
    """Every training pair once per epoch, in random order, each with M negatives.

    Users who have every item cannot have a negative; their pairs are left out of batches.

    Args:
        data: Training pairs.
        batch_size: Pairs per batch; the last batch of an epoch may be smaller.
        negatives: Where they come from.
        num_negatives: M ≥ 1.
        popularity_power: With ``popularity``, an item is drawn by degree^power; word2vec's is 0.75.
    """

    def __init__(
        self,
        data: TrainingData,
        batch_size: int,
        *,
        negatives: Negatives = "uniform",
        num_negatives: int = 1,
        popularity_power: float = 0.75,
    ) -> None:
        has_negative = data.seen.degrees[data.train_users] < data.num_items
        self._users = data.train_users[has_negative]
        self._items = data.train_items[has_negative]
        self._positive_keys = data.train_users * data.num_items + data.train_items  # ascending
        self._num_items = data.num_items
        self._batch_size = batch_size
        self._num_negatives = num_negatives
        self._draw: Draw | None = None  # in-batch negatives are drawn from each batch anew
        if negatives == "uniform":
            self._draw = uniform_items(data.num_items)
        elif negatives == "popularity":
            self._draw = weighted_items(data.item_degrees.astype(np.float64) ** popularity_power)

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._users) // self._batch_size)

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """One epoch of batches."""
        order = generator.permutation(len(self._users))
        users, positives = self._users[order], self._items[order]
        for start in range(0, len(order), self._batch_size):
            part = slice(start, start + self._batch_size)
            asked = np.repeat(users[part], self._num_negatives)
            draw = self._draw or listed_items(positives[part])
            negatives = sample_negatives(asked, self._positive_keys, self._num_items, draw, generator)
            yield PairBatch(users[part], positives[part], negatives.reshape(-1, self._num_negatives))


def sample_negatives(
    users: IntArray, positive_keys: IntArray, num_items: int, draw: Draw, generator: np.random.Generator
) -> IntArray:
    """One item per user that the user has not; hits are drawn again.

    Args:
        users: (b,) int64, each with at least one item left.
        positive_keys: (n,) int64 ``user * num_items + item``, ascending, not empty.
        num_items: Items to draw from.
        draw: Where items come from; a user hit a hundred times in a row gets uniform ones.
        generator: Source of the draws.

    Returns:
        (b,) int64.
    """
    negatives = draw(len(users), generator)
    open_draws = np.arange(len(users))
    for attempt in range(1, 1 << 30):
        keys = users[open_draws] * num_items + negatives[open_draws]
        places = np.minimum(np.searchsorted(positive_keys, keys), len(positive_keys) - 1)
        open_draws = open_draws[positive_keys[places] == keys]
        if not len(open_draws):
            break
        again = draw if attempt < _MOST_DRAWS else uniform_items(num_items)
        negatives[open_draws] = again(len(open_draws), generator)
    return negatives


def uniform_items(num_items: int) -> Draw:
    """Each item alike."""

    def draw(count: int, generator: np.random.Generator) -> IntArray:
        return generator.integers(num_items, size=count)

    return draw


def weighted_items(weights: npt.NDArray[np.float64]) -> Draw:
    """Items in proportion to (num_items,) float64 ``weights``, by inversion of their running sum."""
    bounds = np.cumsum(weights / weights.sum())
    bounds[-1] = 1.0

    def draw(count: int, generator: np.random.Generator) -> IntArray:
        return np.searchsorted(bounds, generator.random(count), side="right").astype(np.int64)

    return draw


def listed_items(items: IntArray) -> Draw:
    """Any of (n,) int64 ``items``, repeats counted."""

    def draw(count: int, generator: np.random.Generator) -> IntArray:
        return items[generator.integers(len(items), size=count)]

    return draw

"""Batches of histories that say whose they are.

Like `recommender.sequences.SequenceSampler`, for models that know the user besides the history. Letters: b
histories of a batch, T events of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommender.data import Histories, IntArray
from recommender.sequences import Sequences, newest_events


@dataclass(frozen=True, slots=True)
class UserSequenceBatch:
    """Histories to learn from: at every event, the item that came next.

    Attributes:
        users: (b,) int64, distinct.
        sequences: All events but the last of each user's history.
        targets: (T,) int64: what came after each.
    """

    users: IntArray
    sequences: Sequences
    targets: IntArray

    @property
    def lines(self) -> IntArray:
        """(T,) int64: the place in ``users`` that each event belongs to."""
        return np.repeat(np.arange(len(self.users)), self.sequences.lengths)


class UserSequenceSampler:
    """Every history with a next item once per epoch, in random order.

    Args:
        histories: Training events, one history per user. Of more than ``max_length`` + 1, the newest are
            taken.
        batch_size: Events with a next item per batch, on average.
        max_length: Events a model reads at most.
    """

    def __init__(self, histories: Histories, batch_size: int, max_length: int) -> None:
        lengths = np.minimum(histories.lengths - 1, max_length)
        self._rows = np.flatnonzero(lengths > 0)
        self._histories = histories
        self._max_length = max_length
        num_events = int(lengths[self._rows].sum())
        self._per_batch = max(1, round(batch_size * len(self._rows) / max(num_events, 1)))

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._rows) // self._per_batch)

    def epoch(self, generator: np.random.Generator) -> Iterator[UserSequenceBatch]:
        """One epoch of batches."""
        shuffled = generator.permutation(self._rows)
        for start in range(0, len(shuffled), self._per_batch):
            rows = shuffled[start : start + self._per_batch]
            whole, order = newest_events(self._histories, rows, self._max_length + 1)
            ends = np.zeros(len(whole.items), np.bool_)
            ends[whole.newest] = True
            begins = np.roll(ends, 1)
            read = Sequences(whole.items[~ends], whole.lengths - 1)
            yield UserSequenceBatch(rows[order], read, whole.items[~begins])

"""Batches of histories for models that read them in order, without any padding.

Letters: b histories of a batch, T events of them. Events of a batch stand in one line, history after history,
and histories of equal length stand together: a model reads them as one block (r, length) per length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommender.data import FloatArray, Histories, IntArray


@dataclass(frozen=True, slots=True)
class Sequences:
    """Histories as one line of events.

    Attributes:
        items: (T,) int64, oldest first within a history.
        lengths: (b,) int64 ≥ 1, ascending.
    """

    items: IntArray
    lengths: IntArray

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """(histories, their length) of every length there is, ascending."""
        lengths, counts = np.unique(self.lengths, return_counts=True)
        return list(zip(counts.tolist(), lengths.tolist(), strict=True))

    @property
    def ages(self) -> IntArray:
        """(T,) int64: how many events of its history came after an event; 0 for the newest."""
        ends = np.repeat(np.cumsum(self.lengths), self.lengths)
        return ends - np.arange(len(self.items)) - 1

    @property
    def newest(self) -> IntArray:
        """(b,) int64: where each history's newest event stands."""
        return np.cumsum(self.lengths) - 1


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """Histories to learn from: at every event, the item that came next.

    Attributes:
        rows: (b,) int64, distinct: which history each is; a user's row in training.
        sequences: All events but the last of each history.
        targets: (T,) int64: what came after each.
    """

    rows: IntArray
    sequences: Sequences
    targets: IntArray

    @property
    def lines(self) -> IntArray:
        """(T,) int64: the place in ``rows`` that each event belongs to."""
        return np.repeat(np.arange(len(self.rows)), self.sequences.lengths)


class SequenceSampler:
    """Every history with a next item once per epoch, in random order.

    Args:
        histories: Training events. Of more than ``max_length`` + 1, the newest are taken.
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

    def epoch(self, generator: np.random.Generator) -> Iterator[SequenceBatch]:
        """One epoch of batches."""
        shuffled = generator.permutation(self._rows)
        for start in range(0, len(shuffled), self._per_batch):
            rows = shuffled[start : start + self._per_batch]
            whole, order = newest_events(self._histories, rows, self._max_length + 1)
            last = np.zeros(len(whole.items), np.bool_)
            last[whole.newest] = True
            first = np.roll(last, 1)  # a history begins where the one before has ended
            read = Sequences(whole.items[~last], whole.lengths - 1)
            yield SequenceBatch(rows[order], read, whole.items[~first])


def newest_events(histories: Histories, rows: IntArray, max_length: int) -> tuple[Sequences, IntArray]:
    """The newest events of some histories that are not empty, shortest history first.

    Args:
        histories: One per row.
        rows: (n,) int64.
        max_length: Events of a history at most.

    Returns:
        The sequences, and (b,) int64: the place in ``rows`` that each of them has.
    """
    lengths = np.minimum(histories.lengths[rows], max_length)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    lengths, ends = lengths[order], histories.indptr[rows[order] + 1]
    starts = np.repeat(ends - np.cumsum(lengths), lengths)
    return Sequences(histories.items[starts + np.arange(len(starts))], lengths), order


def history_arrays(histories: Histories, max_length: int) -> dict[str, FloatArray]:
    """The newest events of every history as saved arrays: ``row_lengths`` (n,) and ``items``, both float32.

    Whole numbers up to 2^24 are exact in float32.
    """
    sequences, order = newest_events(histories, np.arange(len(histories)), max_length)
    lengths = np.zeros(len(histories), np.int64)
    lengths[order] = sequences.lengths
    events = np.argsort(np.repeat(order, sequences.lengths), kind="stable")  # by row again
    return {
        "row_lengths": lengths.astype(np.float32),
        "items": sequences.items[events].astype(np.float32),
    }


def saved_histories(arrays: dict[str, FloatArray]) -> Histories:
    """The histories that `history_arrays` wrote down."""
    lengths = arrays["row_lengths"].astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Histories(indptr, arrays["items"].astype(np.int64))

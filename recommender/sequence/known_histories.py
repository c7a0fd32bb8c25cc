"""Whether a history is a user's own: it goes on from what the user did in training.

Letters: U users, n histories asked about.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.data import FloatArray, Histories, IntArray
from recommender.sequence.sequences import history_arrays, saved_histories


@dataclass(frozen=True, slots=True)
class KnownHistories:
    """The training histories of all users, as far back as a model reads.

    Attributes:
        lengths: (U,) int64 events of each in all.
        newest: The newest of them.
    """

    lengths: IntArray
    newest: Histories

    @classmethod
    def of(cls, histories: Histories, max_length: int) -> "KnownHistories":
        """Those of training, one per user."""
        return cls(histories.lengths, saved_histories(history_arrays(histories, max_length)))

    def recognised(self, asked: Histories) -> npt.NDArray[np.bool_]:
        """(n,) bool: history r begins with all that user r did in training; nobody's if n is not U."""
        if len(asked) != len(self.lengths):
            return np.zeros(len(asked), np.bool_)
        long_enough = (self.lengths > 0) & (asked.lengths >= self.lengths)
        users = np.repeat(np.arange(len(asked)), self.newest.lengths)  # (e,) whose each kept event is
        events = np.flatnonzero(long_enough[users])
        users = users[events]
        back = self.newest.indptr[users + 1] - events  # 1 for the newest event of training
        places = asked.indptr[users] + self.lengths[users] - back
        differs = asked.items[places] != self.newest.items[events]
        found = long_enough.copy()
        found[users[differs]] = False
        return found

    def arrays(self) -> dict[str, FloatArray]:
        """As saved arrays, all float32: ``lengths`` (U,) and those of `history_arrays`."""
        kept = history_arrays(self.newest, int(self.newest.lengths.max(initial=1)))
        return {"lengths": self.lengths.astype(np.float32)} | kept


def saved_known_histories(arrays: dict[str, FloatArray]) -> KnownHistories:
    """What `KnownHistories.arrays` wrote down."""
    return KnownHistories(arrays["lengths"].astype(np.int64), saved_histories(arrays))

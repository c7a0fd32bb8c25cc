"""Counting: what followed, and what went with, the items of a history. The control of sequential models.

Nothing is learned by gradients and nothing was tuned. In the training history of every user:

    M[i, j] = Σ 1 / gap over the times that j came gap events after i, rows divided by their sum
    C[i, j] = users who had both / √(users of i · users of j), zero where i = j
    a = Σ_h w_h M[h],  b = Σ_h w_h C[h]        h: the events of a history, w_h = decay^(events since h)
    score = a / max a + b / max b + 1e-9 · users of the item

Maxima are over all items, those of the history too. A reconstruction of a control that is known by its recipe
and its figures, not by code. An empty history is scored by the last term: popularity.

Six figures are known for each data set. The four of the full ranking, HR and NDCG at 5 and 10, are tested on
Beauty and Toys (``tests/integration/test_counting_control.py``). The two among 99 random negatives, HR@10 and
NDCG@10, are not: measured .4374 and .2943 on Beauty (given .437 and .295), .4036 and .2790 on Toys (given
.403 and .277). The last is .0020 off, more than draws of negatives differ by: three other seeds give .2791 to
.2801.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from pydantic import Field

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from featurestore.spec import Frozen
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, Histories, IntArray, TrainingData
from recommender.features import NodeFeatures
from recommender.graph.sparse import SparseRows, from_arrays, from_entries, item_cosines, profile_rows
from recommender.metrics import Float64Array

_POPULARITY_WEIGHT: Final = np.float32(1e-9)
_PAIRS_AT_A_TIME: Final = 4_000_000


class Config(Frozen):
    """Settings of counting."""

    decay: float = Field(default=0.7, gt=0, le=1, description="Weight of an event over that of the next one.")


class Model:
    """Counts of one release's training histories. U users or histories, I items.

    Cost of `fit`: Σ over users of (events of the user)² additions, and memory for every pair of items that
    any user had.
    """

    name: str = "counting"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._profiles: SparseRows | None = None  # (U, I) w_h of every event
        self._transitions: SparseRows | None = None  # (I, I) M
        self._cosines: SparseRows | None = None  # (I, I) C
        self._counts = np.zeros(0, np.float32)  # (I,) users of an item

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`; there is nothing random. The users' histories are those of training."""
        del seed, progress, checkpoint
        if features is not None:
            raise UsageError("counting uses no item features.", hint="Leave --features out.")
        self._cosines = item_cosines(profile_rows(data.seen.indptr, data.seen.items, data.num_items))
        self._transitions = transition_weights(data.histories, data.num_items)
        self._profiles = decayed_profiles(data.histories, data.num_items, self.config.decay)
        self._counts = data.item_degrees.astype(np.float32)
        return FitReport()

    def with_histories(self, histories: Histories) -> "Model":
        """See `recommender.base.ReadsHistories`."""
        other = Model(self.config)
        _, other._transitions, other._cosines = self._fitted()
        other._counts = self._counts
        other._profiles = decayed_profiles(histories, len(self._counts), self.config.decay)
        return other

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`. Sums are float32: popularity decides only where the other terms are 0."""
        all_profiles, transitions, cosines = self._fitted()
        profiles = all_profiles.take(users)  # (n, I)
        scores = _over_largest(profiles.times(transitions))
        scores += _over_largest(profiles.times(cosines))
        scores += _POPULARITY_WEIGHT * self._counts
        return scores

    def arrays(self) -> ArrayGroups:
        """Users of every item as ``weights``; the weighted histories, M and C as matrices of their own."""
        profiles, transitions, cosines = self._fitted()
        return {
            "weights": {"item_counts": self._counts},
            "profiles": profiles.arrays(),
            "transitions": transitions.arrays(),
            "cosines": cosines.arrays(),
        }

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        self._counts = groups["weights"]["item_counts"]
        self._profiles = from_arrays(groups["profiles"], len(self._counts))
        self._transitions = from_arrays(groups["transitions"], len(self._counts))
        self._cosines = from_arrays(groups["cosines"], len(self._counts))

    def _fitted(self) -> tuple[SparseRows, SparseRows, SparseRows]:
        if self._profiles is None or self._transitions is None or self._cosines is None:
            raise StoreError("this counting model is empty.", hint="Call fit or load_arrays first.")
        return self._profiles, self._transitions, self._cosines


def transition_weights(histories: Histories, num_items: int) -> SparseRows:
    """M: (I, I), row i: what came after i. Rows sum to 1, or are empty."""
    ends = np.repeat(histories.indptr[1:], histories.lengths)  # (events,) where an event's history ends
    first = np.arange(len(histories.items))  # (p,) events that have another one ``gap`` events later
    counted = _PairSums()
    for gap in range(1, int(histories.lengths.max(initial=1))):
        first = first[first + gap < ends[first]]
        counted.add(histories.items[first] * num_items + histories.items[first + gap], 1.0 / gap)
    keys, sums = counted.result()
    rows = keys // num_items
    shares = sums / np.bincount(rows, weights=sums, minlength=num_items)[rows]
    return from_entries(rows, keys % num_items, shares, num_rows=num_items, num_columns=num_items)


def decayed_profiles(histories: Histories, num_items: int, decay: float) -> SparseRows:
    """w_h of every event of every history, the newest 1: (U, I) float32."""
    age = np.repeat(histories.indptr[1:], histories.lengths) - np.arange(len(histories.items)) - 1
    weights = (decay**age).astype(np.float32)
    return profile_rows(histories.indptr, histories.items, num_items, weights)


def _over_largest(scores: FloatArray) -> FloatArray:
    """Rows of (n, I) divided by their largest entry, in place; rows of zeros stay as they are."""
    largest = scores.max(axis=1, initial=0.0, keepdims=True)
    scores /= np.where(largest > 0, largest, np.float32(1))
    return scores


@dataclass
class _PairSums:
    """Sums per key; memory for the distinct keys and a few million additions."""

    waiting: list[tuple[IntArray, Float64Array]] = field(default_factory=list[tuple[IntArray, Float64Array]])
    num_waiting: int = 0

    def add(self, keys: IntArray, amount: float) -> None:
        self.waiting.append((keys, np.full(len(keys), amount)))
        self.num_waiting += len(keys)
        if self.num_waiting >= _PAIRS_AT_A_TIME:
            self.waiting, self.num_waiting = [self.result()], 0

    def result(self) -> tuple[IntArray, Float64Array]:
        """(nnz,) int64 distinct keys, ascending, and (nnz,) float64 sums."""
        if not self.waiting:
            return np.zeros(0, np.int64), np.zeros(0)
        keys, places = np.unique(np.concatenate([keys for keys, _ in self.waiting]), return_inverse=True)
        amounts = np.concatenate([amounts for _, amounts in self.waiting])
        return keys, np.bincount(places, weights=amounts).astype(np.float64)

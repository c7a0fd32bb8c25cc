"""HR, Recall and NDCG at K over the full ranking.

A scorer that gives many items the same score has no rank to be proud of: every metric is its *expected value
over a random order of equal scores*, exactly. A held-out item with ``better`` items above it in a group of
``tied`` equals is uniform over the ranks better … better + tied - 1 (from 0).

    HR@K      probability that a held-out item is among the first K
    Recall@K  share of the user's held-out items among the first K
    NDCG@K    Σ 1/log2(rank + 2) over held-out items among the first K, divided by the best possible sum
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from recommender.data import IntArray

Float64Array: TypeAlias = npt.NDArray[np.float64]

CUTOFFS = (5, 10, 20)
NAMES = ("hr", "recall", "ndcg")


@dataclass(frozen=True, slots=True)
class RankGroups:
    """Where held-out items stand.

    Attributes:
        users: (m,) int64 user rows, ascending.
        better: (m,) int64 ranked items with a strictly higher score.
        tied: (m,) int64 ranked items with the same score, itself included.
    """

    users: IntArray
    better: IntArray
    tied: IntArray


@dataclass(frozen=True, slots=True)
class RankingMetrics:
    """Metrics of every user that has held-out items.

    Attributes:
        users: (n,) int64 user rows, ascending.
        per_user: Metric name such as ``ndcg@10`` → (n,) float64.
    """

    users: IntArray
    per_user: dict[str, Float64Array]

    def means(self) -> dict[str, float]:
        """Mean over users: no user is dropped."""
        return {name: float(values.mean()) if len(values) else 0.0 for name, values in self.per_user.items()}


def ranking_metrics(groups: RankGroups, cutoffs: Sequence[int] = CUTOFFS) -> RankingMetrics:
    """HR, Recall and NDCG at each cutoff, per user."""
    users, first, counts = np.unique(groups.users, return_index=True, return_counts=True)
    if not len(users):
        return RankingMetrics(users, {f"{n}@{k}": np.zeros(0) for k in cutoffs for n in NAMES})
    per_user: dict[str, Float64Array] = {}
    for k in cutoffs:
        discounts = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])  # (k + 1,)
        start = np.minimum(groups.better, k)  # (m,) ranks start … end - 1 of the group are within K
        end = np.minimum(groups.better + groups.tied, k)
        found = np.add.reduceat((end - start) / groups.tied, first)
        gains = np.add.reduceat((discounts[end] - discounts[start]) / groups.tied, first)
        per_user[f"hr@{k}"] = 1.0 - _chance_of_no_hit(groups, first, k)
        per_user[f"recall@{k}"] = found / counts
        per_user[f"ndcg@{k}"] = gains / discounts[np.minimum(counts, k)]
    return RankingMetrics(users, per_user)


def _chance_of_no_hit(groups: RankGroups, first: IntArray, k: int) -> Float64Array:
    """Probability, per user, that no held-out item is among the first K.

    Zero if a whole group with a held-out item fits. Otherwise only one group, of t equals, can straddle the
    cutoff, with s = K - better places inside: its h held-out items all miss with Π_{j<h} (t - s - j)/(t - j).
    """
    fits = groups.better + groups.tied <= k
    straddles = (groups.better < k) & ~fits
    none = np.where(np.logical_or.reduceat(fits, first), 0.0, 1.0)  # (n,)
    held = np.add.reduceat(straddles.astype(np.int64), first)
    tied = np.maximum.reduceat(np.where(straddles, groups.tied, 1), first)
    inside = np.maximum.reduceat(np.where(straddles, k - groups.better, 0), first)
    for j in range(int(held.max(initial=0))):
        more = j < held
        none[more] *= np.maximum(tied[more] - inside[more] - j, 0) / (tied[more] - j)
    return none


def paired_interval(
    ours: Float64Array, theirs: Float64Array, generator: np.random.Generator, *, num_draws: int = 1000
) -> tuple[float, float]:
    """95 % interval of the mean difference of two models over the same users, by bootstrap over users.

    Args:
        ours: (n,) metric per user.
        theirs: (n,) the other model's, same users.
        generator: Source of the draws.
        num_draws: Resamples of n users.

    Returns:
        The 2.5 % and 97.5 % points of the mean of ``ours - theirs``; zeros without users.
    """
    difference = ours - theirs
    if not len(difference):
        return 0.0, 0.0
    num_users = len(difference)
    means = [difference[generator.integers(num_users, size=num_users)].mean() for _ in range(num_draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)

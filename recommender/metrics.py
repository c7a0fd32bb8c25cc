"""HR, Recall, NDCG, MRR and MAP at K over a ranking.

A scorer that gives many items the same score has no rank to be proud of: every metric is its *expected value
over a random order of equal scores*, exactly. Held-out items with ``better`` items above them in a group of
``tied`` equals are uniform over the ranks better … better + tied - 1 (from 0).

    HR@K      probability that a held-out item is among the first K
    Recall@K  share of the user's held-out items among the first K
    NDCG@K    Σ 1/log2(rank + 2) over held-out items among the first K, divided by the best possible sum
    MRR@K     1/(rank + 1) of the first held-out item, 0 if it is not among the first K
    MAP@K     Σ precision at the rank of each held-out item among the first K, divided by all held-out items
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from recommender.data import IntArray

Float64Array: TypeAlias = npt.NDArray[np.float64]

CUTOFFS = (5, 10, 20)
NAMES = ("hr", "recall", "ndcg", "mrr", "map")


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


@dataclass(frozen=True, slots=True)
class _Ties:
    """Held-out items of equal score of one user, as one row each, best first within a user; g rows.

    Attributes:
        first: (n,) the place of each user's best row.
        better: (g,) items with a higher score.
        tied: (g,) items of this score.
        held: (g,) held-out ones among them.
        before: (g,) held-out items of the user with a higher score.
    """

    first: IntArray
    better: IntArray
    tied: IntArray
    held: IntArray
    before: IntArray


def ranking_metrics(groups: RankGroups, cutoffs: Sequence[int] = CUTOFFS) -> RankingMetrics:
    """All metrics at each cutoff, per user."""
    users, counts = np.unique(groups.users, return_counts=True)
    if not len(users):
        return RankingMetrics(users, {f"{n}@{k}": np.zeros(0) for k in cutoffs for n in NAMES})
    ties = _tie_groups(groups, counts)
    first_hit = _first_hit(ties, max(cutoffs))  # (max K, n)
    per_user: dict[str, Float64Array] = {}
    for k in cutoffs:
        recall, gain, precision = (
            np.add.reduceat(values, ties.first) for values in (*_found(ties, k), _precisions(ties, k))
        )
        per_user[f"hr@{k}"] = first_hit[:k].sum(axis=0)
        per_user[f"recall@{k}"] = recall / counts
        per_user[f"ndcg@{k}"] = gain / discount_sums(k)[np.minimum(counts, k)]
        per_user[f"mrr@{k}"] = (first_hit[:k] / np.arange(1.0, k + 1.0)[:, None]).sum(axis=0)
        per_user[f"map@{k}"] = precision / counts
    return RankingMetrics(users, per_user)


def pair_metrics(groups: RankGroups, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Float64Array]:
    """Recall and NDCG of every held-out item as if it were its user's only one: name → (m,) float64."""
    values: dict[str, Float64Array] = {}
    for k in cutoffs:
        start = np.minimum(groups.better, k)
        end = np.minimum(groups.better + groups.tied, k)
        sums = discount_sums(k)
        values[f"recall@{k}"] = (end - start) / groups.tied
        values[f"ndcg@{k}"] = (sums[end] - sums[start]) / groups.tied
    return values


def discount_sums(k: int) -> Float64Array:
    """(k + 1,) float64: Σ 1/log2(rank + 2) over the first 0, 1, …, k ranks."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])


def _tie_groups(groups: RankGroups, counts: IntArray) -> _Ties:
    if counts.max() == 1:
        ones = np.ones_like(groups.better)
        return _Ties(np.arange(len(counts)), groups.better, groups.tied, ones, ones - 1)
    order = np.lexsort((groups.better, groups.users))
    users, better, tied = groups.users[order], groups.better[order], groups.tied[order]
    starts = np.append(True, (users[1:] != users[:-1]) | (better[1:] != better[:-1]))
    places = np.flatnonzero(starts)  # (g,)
    user_starts = np.cumsum(counts) - counts  # (n,)
    before = places - np.repeat(user_starts, counts)[places]
    held = np.diff(np.append(places, len(users)))
    return _Ties(np.searchsorted(places, user_starts), better[places], tied[places], held, before)


def _within(ties: _Ties, k: int) -> tuple[IntArray, IntArray]:
    """(g,) and (g,): ranks start … end - 1 of each row are within K."""
    return np.minimum(ties.better, k), np.minimum(ties.better + ties.tied, k)


def _found(ties: _Ties, k: int) -> tuple[Float64Array, Float64Array]:
    """(g,) and (g,): expected held-out items within K, and their discounted sum."""
    start, end = _within(ties, k)
    share = ties.held / ties.tied
    sums = discount_sums(k)
    return share * (end - start), share * (sums[end] - sums[start])


def _precisions(ties: _Ties, k: int) -> Float64Array:
    """(g,) expected sum of the precision at each held-out rank within K.

    At rank p of a row with b better, t tied, h of them held out and c held-out items before it, the chance of
    a held-out item is h/t, and (c + 1 + (p - b)(h - 1)/(t - 1)) / (p + 1) the precision expected there then.
    """
    start, end = _within(ties, k)
    sums = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1.0, k + 1.0))])
    harmonic = sums[end] - sums[start]  # Σ 1/(p + 1)
    above = end - start - (ties.better + 1) * harmonic  # Σ (p - b)/(p + 1)
    others = (ties.held - 1) / np.maximum(ties.tied - 1, 1)
    return ties.held / ties.tied * ((ties.before + 1) * harmonic + others * above)


def _first_hit(ties: _Ties, k: int) -> Float64Array:
    """(k, n) probability that a user's first held-out item stands at rank 0, 1, …, k - 1.

    It is one of the best row's h: if none stands at its first j ranks, the next is one with chance h/(t - j).
    """
    better, tied, held = (values[ties.first] for values in (ties.better, ties.tied, ties.held))
    chances = np.zeros((k, len(better)))
    none_yet = np.ones(len(better))
    for rank in range(k):
        left = tied - (rank - better)
        chance = np.where((rank >= better) & (left > 0), held / np.maximum(left, held), 0.0)
        chances[rank] = none_yet * chance
        none_yet = none_yet - chances[rank]
    return chances

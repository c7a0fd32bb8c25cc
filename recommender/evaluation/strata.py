"""Metrics of parts of the test: by how often an item or a user was seen in training.

A mean over all users hides whom a model serves. Item strata are means over held-out *pairs*, each ranked as
if it were its user's only one; user strata are means over users. Empty strata are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from recommender.data import IntArray
from recommender.metrics import CUTOFFS, Float64Array, RankGroups, RankingMetrics, pair_metrics

_DEGREE_BOUNDS: Final = (1, 10, 50)
_DEGREE_LABELS: Final = ("0 (cold)", "1-9", "10-49", ">=50")


@dataclass(frozen=True, slots=True)
class Stratum:
    """Means over one part of the test.

    Attributes:
        kind: How the test was cut: ``item degree``, ``user quartile``, ``gender``.
        label: Which part.
        num_users: Users in it, or with a held-out pair in it.
        num_pairs: Held-out pairs in it.
        means: Metric → mean over its users, or over its pairs if items were cut.
    """

    kind: str
    label: str
    num_users: int
    num_pairs: int
    means: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cut:
    """A division into parts.

    Attributes:
        kind: As in `Stratum`.
        labels: Of the parts.
        codes: (n,) int64, the place in ``labels`` of each thing that is divided.
    """

    kind: str
    labels: tuple[str, ...]
    codes: IntArray


def degree_cut(kind: str, degrees: IntArray) -> Cut:
    """Parts by (n,) training degrees: 0, 1 to 9, 10 to 49, 50 and more."""
    return Cut(kind, _DEGREE_LABELS, np.digitize(degrees, _DEGREE_BOUNDS).astype(np.int64))


def quartile_cut(kind: str, values: IntArray, weights: IntArray) -> Cut:
    """Four parts of equal weight by rising value; equal values stay together, so parts may be uneven.

    Args:
        kind: As in `Stratum`.
        values: (n,) int64.
        weights: (n,) int64: interactions of an item, or 1 of a user.
    """
    levels, places = np.unique(values, return_inverse=True)
    mass = np.bincount(places, weights=weights, minlength=len(levels))
    middle = np.cumsum(mass) - mass / 2
    quartiles = np.minimum((4 * middle / max(float(mass.sum()), 1.0)).astype(np.int64), 3)  # (levels,)
    labels = [_range_label(number, levels[quartiles == number]) for number in range(4)]
    return Cut(kind, tuple(labels), quartiles[places])


def item_strata(
    groups: RankGroups, items: IntArray, cuts: Sequence[Cut], cutoffs: Sequence[int] = CUTOFFS
) -> list[Stratum]:
    """Recall and NDCG over the held-out pairs of each part of the items.

    Args:
        groups: Where (m,) held-out pairs stand.
        items: (m,) int64, their items.
        cuts: Divisions of all items.
        cutoffs: Each K.
    """
    values = pair_metrics(groups, cutoffs)
    strata: list[Stratum] = []
    for cut in cuts:
        codes = cut.codes[items]
        for code, label in enumerate(cut.labels):
            inside = codes == code
            if inside.any():
                num_users = len(np.unique(groups.users[inside]))
                means = _means(values, inside)
                strata.append(Stratum(cut.kind, label, num_users, int(inside.sum()), means))
    return strata


def user_strata(metrics: RankingMetrics, num_held_out: IntArray, cuts: Sequence[Cut]) -> list[Stratum]:
    """All metrics over each part of the users.

    Args:
        metrics: Of (n,) users.
        num_held_out: (n,) int64 held-out pairs of each.
        cuts: Divisions of these n users.
    """
    strata: list[Stratum] = []
    for cut in cuts:
        for code, label in enumerate(cut.labels):
            inside = cut.codes == code
            if inside.any():
                means = _means(metrics.per_user, inside)
                num_pairs = int(num_held_out[inside].sum())
                strata.append(Stratum(cut.kind, label, int(inside.sum()), num_pairs, means))
    return strata


def _means(values: dict[str, Float64Array], inside: np.ndarray) -> dict[str, float]:
    return {name: float(each[inside].mean()) for name, each in values.items()}


def _range_label(number: int, levels: IntArray) -> str:
    if not len(levels):
        return f"Q{number + 1}"
    low, high = int(levels[0]), int(levels[-1])
    return f"Q{number + 1} ({low:,})" if low == high else f"Q{number + 1} ({low:,}-{high:,})"

"""What lists of K items are like, whether they are right or not.

Equal scores stand by ascending item row here, as lists are served: a set of items has no expected value.

    coverage@K          items that stand in anyone's list, as a share of all items
    gini@K              inequality of how often items are listed: 0 all equally, towards 1 a few always
    popularity_bias@K   mean popularity percentile of the listed items, minus that of the user's own items
    novelty@K           mean of -log2 p(i) over the listed items, p(i) the share of training users who have i

The percentile of an item is the share of items with fewer training users, half of those with as many and
itself included among them: 1/2 on average. Novelty (Vargas and Castells 2011) counts an item that nobody has
as one user's. A user without own items is compared with all training events, an average user.
"""

from collections.abc import Sequence

import numpy as np

from recommender.data import IntArray, UserItems
from recommender.metrics import CUTOFFS, Float64Array


def list_measures(
    lists: IntArray,
    *,
    profiles: UserItems,
    users: IntArray,
    item_degrees: IntArray,
    num_train_users: int,
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, float]:
    """All measures at each cutoff.

    Args:
        lists: (n, k) int64 item rows, best first, -1 where a list ends; k at least the largest cutoff.
        profiles: The own items of every user.
        users: (n,) int64, the row of ``profiles`` that each list is for.
        item_degrees: (num_items,) int64 training users of each item.
        num_train_users: Users with training events.
        cutoffs: Each K.

    Returns:
        Name such as ``coverage@10`` → value; zeros without lists.
    """
    percentiles = popularity_percentiles(item_degrees)
    surprise = -np.log2(np.maximum(item_degrees, 1) / max(num_train_users, 1))
    own = _profile_means(percentiles, profiles, users, item_degrees)
    values: dict[str, float] = {}
    for k in cutoffs:
        part = lists[:, :k]
        listed = part >= 0
        exposure = np.bincount(part[listed], minlength=len(item_degrees))
        values[f"coverage@{k}"] = float((exposure > 0).mean()) if len(exposure) else 0.0
        values[f"gini@{k}"] = gini(exposure)
        values[f"popularity_bias@{k}"] = _mean(_list_means(percentiles, part) - own)
        values[f"novelty@{k}"] = _mean(_list_means(surprise, part))
    return values


def popularity_percentiles(item_degrees: IntArray) -> Float64Array:
    """(num_items,) float64 in (0, 1): share of items with fewer users, and half of those with as many."""
    ordered = np.sort(item_degrees)
    fewer = np.searchsorted(ordered, item_degrees, side="left")
    not_more = np.searchsorted(ordered, item_degrees, side="right")
    return (fewer + not_more) / 2 / max(len(item_degrees), 1)


def gini(amounts: IntArray) -> float:
    """Gini coefficient of (n,) amounts: Σ (2 i - n - 1) x_i / (n Σ x), x ascending, i from 1; or 0."""
    if not amounts.sum():
        return 0.0
    ordered = np.sort(amounts)
    weights = 2.0 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
    return float((weights * ordered).sum() / (len(ordered) * ordered.sum()))


def _list_means(values: Float64Array, lists: IntArray) -> Float64Array:
    """(n,) mean of each list's item values; 0 of an empty list."""
    listed = lists >= 0
    sums = np.where(listed, values[lists], 0.0).sum(axis=1)
    return sums / np.maximum(listed.sum(axis=1), 1)


def _profile_means(
    values: Float64Array, profiles: UserItems, users: IntArray, item_degrees: IntArray
) -> Float64Array:
    """(n,) mean of the values of each user's own items; that of all training events without any."""
    lines, items = profiles.pairs_of(users)
    sums = np.bincount(lines, weights=values[items], minlength=len(users))
    counts = profiles.degrees[users]
    average = float((values * item_degrees).sum() / max(int(item_degrees.sum()), 1))
    return np.where(counts > 0, sums / np.maximum(counts, 1), average)


def _mean(values: Float64Array) -> float:
    return float(values.mean()) if len(values) else 0.0

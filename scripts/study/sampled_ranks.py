"""Metrics among 99 sampled negatives, from the ranks among all items that records keep.

A list of negatives is drawn uniformly, without repeats, from the items that its user has in no part. How many
of the drawn stand above the held-out item is hypergeometric, so the metric's expected value over all lists is
known exactly: no list was drawn, and no luck of a draw is in it. With N items to draw from, b of them above
the held-out one, n drawn and equal scores in random order (b uniform over better … better + tied - 1):

    P(x above) = C(b, x) C(N - b, n - x) / C(N, n)
    HR@K = Σ_{x<K} P(x above),   NDCG@K = Σ_{x<K} P(x above) / log2(x + 2)

This holds where every user has one test item, one validation item, and enough items to draw from.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from recommender.data import IntArray
from recommender.metrics import Float64Array, RankGroups
from recommender.sampled import NUM_NEGATIVES
from scripts.study.groups import NOT_RUN, Group
from scripts.study.records import Records
from scripts.study.runs import Record

CUTOFFS: Final = (5, 10)


class SampledRanks:
    """Means among sampled negatives, computed once for each record.

    Args:
        records: Whose ranks are read.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._means: dict[str, dict[str, float]] = {}

    def pool_sizes(self, dataset: str) -> IntArray | None:
        """(m,) items that negatives of each test user are drawn from; None where users are not alike."""
        facts = self._records.facts(dataset)
        if facts is None or not facts.num_users == facts.num_valid == facts.num_test:
            return None
        pairs = self._records.pairs(dataset)
        sizes = facts.num_items - pairs.user_degrees - 2  # less the validation item, and the test item
        return sizes if len(np.unique(pairs.users)) == len(sizes) and sizes.min() >= NUM_NEGATIVES else None

    def cell(self, group: Group, metric: str) -> str:
        """Mean ± standard deviation over seeds, or that it was not run; empty if it was not declared."""
        if not group.standings:
            return ""
        values = [self._of(record)[metric] for record in group.records]
        return f"{group.spread(values)}{group.mark}" if values else NOT_RUN

    def _of(self, record: Record) -> dict[str, float]:
        if record.ranks not in self._means:
            pool = self.pool_sizes(record.run.dataset)
            assert pool is not None, f"{record.run.dataset} has no pools to draw from"
            values = sampled_metrics(self._records.ranks(record), pool)
            self._means[record.ranks] = {name: float(each.mean()) for name, each in values.items()}
        return self._means[record.ranks]


def sampled_metrics(
    ranks: RankGroups,
    pool: IntArray,
    *,
    num_negatives: int = NUM_NEGATIVES,
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, Float64Array]:
    """Expected HR and NDCG of (m,) held-out items, each its user's only one.

    Cost: a few products per item and rank; items of equal score cost as much as all items of their pools do.

    Args:
        ranks: Where they stand among all items.
        pool: (m,) N ≥ num_negatives.
        num_negatives: n.
        cutoffs: Each K.

    Returns:
        Metric such as ``ndcg@10`` → (m,) float64.
    """
    weights = np.zeros((max(cutoffs), 2 * len(cutoffs)))
    for column, k in enumerate(cutoffs):
        weights[:k, 2 * column] = 1.0
        weights[:k, 2 * column + 1] = 1.0 / np.log2(np.arange(k) + 2.0)
    values = np.empty((len(pool), weights.shape[1]))  # (m, 2 per cutoff)
    alone = ranks.tied == 1
    values[alone] = _chances(ranks.better[alone], pool[alone], num_negatives, len(weights)) @ weights
    for size in np.unique(pool[~alone]):
        chosen = np.flatnonzero(~alone & (pool == size))
        first = ranks.better[chosen]
        last = first + ranks.tied[chosen]
        low = int(first.min())
        above = np.arange(low, int(last.max()))
        each = _chances(above, np.full_like(above, size), num_negatives, len(weights)) @ weights
        sums = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(each, axis=0)])
        values[chosen] = (sums[last - low] - sums[first - low]) / ranks.tied[chosen][:, None]
    names = [f"{name}@{k}" for k in cutoffs for name in ("hr", "ndcg")]
    return dict(zip(names, values.T, strict=True))


def _chances(above: IntArray, pool: IntArray, num_negatives: int, most: int) -> Float64Array:
    """(c, most) chance that 0, 1, … of the drawn are among the ``above`` of a pool."""
    logs = _log_factorials(int(pool.max(initial=num_negatives)))
    drawn = np.arange(most)[None, :]
    chosen = _log_choose(logs, above[:, None], drawn)
    chosen += _log_choose(logs, (pool - above)[:, None], num_negatives - drawn)
    return np.exp(chosen - _log_choose(logs, pool[:, None], np.array([[num_negatives]])))


def _log_choose(logs: Float64Array, total: IntArray, taken: IntArray) -> Float64Array:
    """The logarithm of C(total, taken), minus infinity where that is 0."""
    inside = (taken >= 0) & (taken <= total)
    kept = np.where(inside, taken, 0)
    return np.where(inside, logs[total] - logs[kept] - logs[total - kept], -np.inf)


def _log_factorials(largest: int) -> Float64Array:
    """Logarithms of 0! to largest!."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])

"""Metrics at any cutoff, computed anew from the ranks of records, and only once for each."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from recommender.data import IntArray
from recommender.metrics import Float64Array, pair_metrics
from scripts.study.groups import NOT_RUN, Group
from scripts.study.records import Records
from scripts.study.runs import Record

BoolArray: TypeAlias = npt.NDArray[np.bool_]
CUTOFFS: Final = (20, 40)


class RankMetrics:
    """Means of test metrics at 20 and 40.

    Args:
        records: Whose ranks are read.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._per_user: dict[str, dict[str, Float64Array]] = {}

    def per_user(self, record: Record) -> dict[str, Float64Array]:
        """Metric → (n,) float64 of every test user."""
        if record.ranks not in self._per_user:
            self._per_user[record.ranks] = self._records.per_user(record, CUTOFFS)
        return self._per_user[record.ranks]

    def means(self, group: Group, metric: str) -> list[float]:
        """The metric of every seed that was run."""
        return [float(self.per_user(record)[metric].mean()) for record in group.records]

    def mean(self, group: Group, metric: str) -> float | None:
        """Over seeds; None without records."""
        found = self.means(group, metric)
        return float(np.mean(found)) if found else None

    def cell(self, group: Group, metric: str) -> str:
        """Mean ± standard deviation over seeds, or that it was not run."""
        values = self.means(group, metric)
        return f"{group.spread(values)}{group.mark}" if values else NOT_RUN

    def item_part(self, group: Group, chosen: Callable[[IntArray], BoolArray], metric: str) -> float | None:
        """Mean over seeds of a metric over the test pairs whose item's training degree is chosen.

        Args:
            group: Seeds of one model.
            chosen: (m,) degrees → (m,) bool.
            metric: Recall or NDCG, every pair ranked as if it were its user's only one.
        """
        values: list[float] = []
        for record in group.records:
            inside = chosen(self._records.pairs(record.run.dataset).item_degrees)
            if inside.any():
                pairs = pair_metrics(self._records.ranks(record), CUTOFFS)[metric]
                values.append(float(pairs[inside].mean()))
        return float(np.mean(values)) if values else None

    def per_user_mean(self, group: Group, metric: str) -> Float64Array:
        """(n,) of every test user, mean over seeds; at least one record."""
        return np.mean([self.per_user(record)[metric] for record in group.records], axis=0)

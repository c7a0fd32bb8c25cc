"""Exact kNN in NumPy: the oracle that other builders are measured against.

Cost: n² · d multiplications in float64 and a sort per row; meant for samples and for up to about 10,000 rows.
"""

import numpy as np
import numpy.typing as npt

from featurestore.graph import NeighborLists
from featurestore.graphs.ranking import checked_unit_rows, rank_finalists

_ROUNDING = 1e-9
"""No float64 dot product of unit vectors is off by as much, whatever order its terms are added in."""
_CHUNK_FLOATS = 16_000_000
"""Scores held at once: 128 MB."""


class ExactGraphBuilder:
    """Scores every pair."""

    name = "exact"

    def build(self, vectors: npt.NDArray[np.float32], num_neighbors: int) -> NeighborLists:
        """See `GraphBuilder.build`."""
        unit = checked_unit_rows(vectors)
        return exact_neighbors(unit, np.arange(len(unit)), num_neighbors)


def exact_neighbors(
    unit: npt.NDArray[np.float64], queries: npt.NDArray[np.int64], num_neighbors: int
) -> NeighborLists:
    """Nearest neighbours of some rows among all rows.

    Args:
        unit: (n, d) float64 unit rows (`checked_unit_rows`).
        queries: (q,) rows to find neighbours for.
        num_neighbors: k ≥ 1.

    Returns:
        Lists of the q queries, in their order.
    """
    neighbors = np.full((len(queries), num_neighbors), -1, np.int64)
    scores = np.zeros((len(queries), num_neighbors), np.float32)
    step = max(1, _CHUNK_FLOATS // max(1, len(unit)))
    for start in range(0, len(queries), step):
        chunk = queries[start : start + step]
        approximate = unit[chunk] @ unit.T  # (step, n)
        approximate[np.arange(len(chunk)), chunk] = -np.inf
        for offset, row in enumerate(chunk):
            finalists = _reachable(approximate[offset], min(num_neighbors, len(unit) - 1))
            best, score = rank_finalists(unit, row[None], finalists[None], num_neighbors)
            neighbors[start + offset] = best[0]
            scores[start + offset] = np.where(best[0] >= 0, score[0], 0.0)
    return NeighborLists(neighbors, scores)


def _reachable(approximate: npt.NDArray[np.float64], num_neighbors: int) -> npt.NDArray[np.int64]:
    """Every row that could be among the k best once rounding is taken out, ties of the k-th included."""
    if num_neighbors == 0:
        return np.empty(0, np.int64)
    boundary = np.partition(approximate, -num_neighbors)[-num_neighbors]
    return np.flatnonzero(approximate >= boundary - _ROUNDING)

"""The oracle: exact nearest neighbours by NumPy in float64.

Slow and plain: a product of float64 rows nominates, with every row that could be among the k best once
rounding is taken out. Other builders' recall is measured against it, and rows that float32 cannot decide are
computed by it.
"""

import numpy as np
import numpy.typing as npt

from featurestore.graph import NeighborLists
from featurestore.graphs import order_keys
from featurestore.graphs.candidates import Candidates
from featurestore.graphs.ranking import SCORE_STEP, CheckedVectors, checked_vectors, pair_scores
from featurestore.spec import ExactSearch, NeighborSearch

_ROUNDING = 2 * SCORE_STEP
"""Scores are rounded to float32 before they are ranked, so that so much closer ones may be equal."""
_CHUNK_FLOATS = 16_000_000
"""Scores held at once: 128 MB."""
_COLUMNS = 8192


class ExactGraphBuilder:
    """Scores every pair in float64."""

    name = "exact"
    search: NeighborSearch = ExactSearch()

    def build(self, vectors: npt.NDArray[np.float32], num_neighbors: int) -> NeighborLists:
        """See `GraphBuilder.build`."""
        rows = checked_vectors(vectors)
        return exact_candidates(rows, np.arange(len(rows)), num_neighbors).lists(num_neighbors)


def exact_candidates(rows: CheckedVectors, queries: npt.NDArray[np.int64], width: int) -> Candidates:
    """The nearest ``width`` neighbours of some rows among all rows, ties decided.

    Args:
        rows: n vectors.
        queries: (q,) rows to find neighbours for.
        width: How many neighbours, at least one.
    """
    keys = np.full((len(queries), width), order_keys.NONE, np.uint64)
    step = max(1, _CHUNK_FLOATS // max(1, len(rows)))
    for start in range(0, len(queries), step):
        chunk = queries[start : start + step]
        scores = _scores(rows, chunk)
        scores[np.arange(len(chunk)), chunk] = -np.inf
        for offset, query in enumerate(chunk):
            nominees = _reachable(scores[offset], min(width, len(rows) - 1))
            exact = pair_scores(rows, query[None], nominees[None])[0]
            best = np.sort(order_keys.encode(exact, nominees))[:width]
            keys[start + offset, : len(best)] = best
    boundary = keys[:, -1] if len(rows) - 1 > width else np.full(len(queries), order_keys.NONE, np.uint64)
    return Candidates(keys, boundary.copy())


def _scores(rows: CheckedVectors, queries: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(q, n) float64 similarities, right to some 1e-15."""
    asked = rows.values[queries].astype(np.float64) / rows.lengths[queries][:, None]
    scores = np.empty((len(queries), len(rows)))
    for start in range(0, len(rows), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        scores[:, part] = asked @ (rows.values[part].astype(np.float64) / rows.lengths[part][:, None]).T
    return scores


def _reachable(scores: npt.NDArray[np.float64], num_neighbors: int) -> npt.NDArray[np.int64]:
    """Every row that could be among the k best once rounding is taken out, ties of the k-th included."""
    if num_neighbors == 0:
        return np.empty(0, np.int64)
    boundary = np.partition(scores, -num_neighbors)[-num_neighbors]
    return np.flatnonzero(scores >= boundary - _ROUNDING)

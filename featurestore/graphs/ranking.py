"""What graph builders share: checked unit vectors, and scores that do not depend on how they were found.

A matrix product adds the terms of a dot product in an order that depends on the shapes of the matrices, so
two equal vectors may score differently in their last bits. Finalists are therefore scored again in float64,
term by term in one fixed order, and equal scores rank by ascending row.
"""

import numpy as np
import numpy.typing as npt

from featurestore.errors import InputError

_CHUNK_FLOATS = 8_000_000
"""Products held at once while finalists are scored: 64 MB."""


def checked_unit_rows(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Rows scaled to length 1.

    Args:
        vectors: (n, d) float32.

    Returns:
        (n, d) float64 unit rows.

    Raises:
        InputError: If the array is not two-dimensional, or a row holds NaN or an infinity or only zeros.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise InputError(f"vectors must have the shape (n, d) with d ≥ 1, found {vectors.shape}.")
    rows = vectors.astype(np.float64)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise InputError(f"vector row {int(np.argmin(finite))} holds NaN or an infinity.")
    norms = np.sqrt((rows * rows).sum(axis=1))
    if not (norms > 0).all():
        raise InputError(f"vector row {int(np.argmin(norms > 0))} holds only zeros: it has no direction.")
    rows /= norms[:, None]
    return rows


def rank_finalists(
    unit: npt.NDArray[np.float64],
    queries: npt.NDArray[np.int64],
    finalists: npt.NDArray[np.int64],
    num_neighbors: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The best of some finalists per query, by score, then by ascending row.

    Args:
        unit: (n, d) float64 unit rows.
        queries: (q,) rows to find neighbours for.
        finalists: (q, c) rows that may be neighbours, each at most once per query; -1 for none.
        num_neighbors: k.

    Returns:
        (q, k) int64 rows, -1 where there are none, and their (q, k) float64 scores, -inf there.
    """
    num_queries, num_finalists = finalists.shape
    rows = np.full((num_queries, num_neighbors), -1, np.int64)
    scores = np.full((num_queries, num_neighbors), -np.inf)
    step = max(1, _CHUNK_FLOATS // max(1, num_finalists * unit.shape[1]))
    for start in range(0, num_queries, step):
        part = slice(start, start + step)
        chosen = finalists[part]
        products = unit[chosen] * unit[queries[part]][:, None, :]  # (step, c, d)
        score = np.where(chosen >= 0, products.sum(axis=2), -np.inf)
        order = np.lexsort((chosen, -score), axis=1)[:, :num_neighbors]
        kept = min(num_neighbors, num_finalists)
        rows[part, :kept] = np.take_along_axis(chosen, order, axis=1)
        scores[part, :kept] = np.take_along_axis(score, order, axis=1)
    return rows, scores

"""What graph builders share: checked vectors, and scores that do not depend on how neighbours were found.

A matrix product adds the terms of a dot product in an order that depends on the shapes of the matrices, so it
only nominates. Whoever is nominated is scored again: a float64 dot product of the float32 vectors, divided by
their lengths, rounded to float32. Its products are exact and its sum is off by 1e-14 at most, so the rounded
score is the same however it was found, save where the true value lies within 1e-14 of a rounding boundary:
there two builders may differ by one float32 step (`SCORE_STEP`). Equal scores rank by ascending row.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.errors import InputError

SCORE_STEP: Final = 2.0**-23
"""Two builds of the same vectors may swap neighbours whose scores are so close, and no others."""
_CHECKED_ROWS = 4096
_CHUNK_FLOATS = 250_000
"""Float64 values gathered at once while nominees are scored: 2 MB, so that they stay in the cache."""


@dataclass(frozen=True, slots=True)
class CheckedVectors:
    """Vectors that have a direction.

    Attributes:
        values: (n, d) float32 as given.
        lengths: (n,) float64, all positive.
    """

    values: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: npt.NDArray[np.int64]) -> "CheckedVectors":
        """Some of the rows."""
        return CheckedVectors(self.values[rows], self.lengths[rows])

    def unit(self) -> npt.NDArray[np.float32]:
        """(n, d) float32 rows of length 1, a copy."""
        return self.values / self.lengths[:, None].astype(np.float32)


def checked_vectors(vectors: npt.NDArray[np.float32]) -> CheckedVectors:
    """The vectors with their lengths.

    Args:
        vectors: (n, d) float32.

    Raises:
        InputError: If the array is not two-dimensional, or a row holds NaN or an infinity or only zeros.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise InputError(f"vectors must have the shape (n, d) with d ≥ 1, found {vectors.shape}.")
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), _CHECKED_ROWS):
        part = vectors[start : start + _CHECKED_ROWS].astype(np.float64)
        lengths[start : start + _CHECKED_ROWS] = np.sqrt((part * part).sum(axis=1))
    finite = np.isfinite(lengths)
    if not finite.all():
        raise InputError(f"vector row {int(np.argmin(finite))} holds NaN or an infinity.")
    if not (lengths > 0).all():
        raise InputError(f"vector row {int(np.argmin(lengths > 0))} holds only zeros: it has no direction.")
    return CheckedVectors(vectors, lengths)


def pair_scores(
    rows: CheckedVectors, queries: npt.NDArray[np.int64], others: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Exact cosine similarities of queries with some rows each.

    Args:
        rows: All vectors.
        queries: (q,) rows.
        others: (q, c) rows; those below 0 get some score that means nothing.

    Returns:
        (q, c) float32.
    """
    scores = np.empty(others.shape, np.float32)
    step = max(1, _CHUNK_FLOATS // max(1, others.shape[1] * rows.values.shape[1]))
    gathered = np.empty((min(step, len(queries)), others.shape[1], rows.values.shape[1]), np.float32)
    widened = np.empty(gathered.shape)
    for start in range(0, len(queries), step):
        asked, named = queries[start : start + step], others[start : start + step]
        found, wide = gathered[: len(asked)], widened[: len(asked)]  # (step, c, d)
        np.take(rows.values, named, axis=0, out=found, mode="clip")
        np.copyto(wide, found)
        vectors = rows.values[asked].astype(np.float64)[:, :, None]  # (step, d, 1)
        products = np.matmul(wide, vectors)[:, :, 0]
        scores[start : start + step] = products / (rows.lengths[named] * rows.lengths[asked][:, None])
    return scores

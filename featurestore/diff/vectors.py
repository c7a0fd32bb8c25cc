"""Vectors of two releases: which moved, and how far."""

from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.diff.result import Move, VectorDiff
from featurestore.embeddings import Embeddings, require_same_space
from featurestore.errors import EmbeddingSpaceError
from featurestore.ids import RowArray

_CHUNK_ROWS: Final = 8_192


def diff_vectors(before: Embeddings, after: Embeddings, *, limit: int) -> VectorDiff:
    """Compare two versions of the vectors of one feature view: reads both matrices once, chunk by chunk.

    Vectors of different encoders are counted and not compared: no distance between them means anything.

    Args:
        before: The earlier vectors.
        after: The later ones.
        limit: Most-moved entities to name.
    """
    name = f"{after.spec.feature}.{after.spec.view}"
    found = before.find(after.ids)  # (n,) rows of `before`, -1 where there is none
    rows_after = np.flatnonzero(found >= 0)
    rows_before = found[rows_after]
    num_added, num_removed = len(after) - len(rows_after), len(before) - len(rows_after)
    try:
        require_same_space(before, after)
    except EmbeddingSpaceError as error:
        return VectorDiff(
            name=name,
            entity=after.spec.entity,
            num_equal=0,
            num_moved=len(rows_after),
            num_added=num_added,
            num_removed=num_removed,
            incomparable=error.message.rstrip("."),
        )
    distances = _distances(before.matrix, rows_before, after.matrix, rows_after)
    moved = np.flatnonzero(distances >= 0)
    farthest = moved[np.argsort(-distances[moved], kind="stable")][:limit]
    return VectorDiff(
        name=name,
        entity=after.spec.entity,
        num_equal=len(distances) - len(moved),
        num_moved=len(moved),
        num_added=num_added,
        num_removed=num_removed,
        median_distance=float(np.median(distances[moved])) if len(moved) else None,
        p99_distance=float(np.quantile(distances[moved], 0.99)) if len(moved) else None,
        moves=tuple(Move(after.ids[rows_after[place]], float(distances[place])) for place in farthest),
        distances=distances[moved] if len(moved) else None,
    )


def _distances(
    before: npt.NDArray[np.float32],
    rows_before: RowArray,
    after: npt.NDArray[np.float32],
    rows_after: RowArray,
) -> npt.NDArray[np.float64]:
    """1 - cosine of each pair of rows, (m,) float64; -1 where the two are equal bit by bit."""
    distances = np.full(len(rows_after), -1.0)
    for start in range(0, len(rows_after), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        old, new = before[rows_before[chunk]], after[rows_after[chunk]]  # (chunk, d) each
        moved = (old != new).any(axis=1)
        a, b = old[moved].astype(np.float64), new[moved].astype(np.float64)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines = np.einsum("nd,nd->n", a, b) / np.maximum(lengths, np.finfo(np.float64).tiny)
        distances[chunk][moved] = np.clip(1.0 - cosines, 0.0, 2.0)
    return distances

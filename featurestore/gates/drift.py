"""How far two sets of vectors of (mostly) the same entities lie apart: three measures that see three harms.

centroid cosine   the mean moved: another encoder, another language, a collapse
MMD               the shape of the cloud changed, although its middle may stand where it stood
kNN churn         who is near whom changed: vectors that were shuffled among ids move neither of the others

Vectors are compared by direction; none may be zero, NaN or infinite. n, m rows; d dimensions.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Matrix: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = npt.NDArray[np.int64]

_CHUNK_FLOATS: Final = 16_000_000
"""Scores or vector entries held at once: 64 MB."""
_SAME_SCORE: Final = 1e-4
"""Neighbours whose cosines differ by less rank in no order that counts: equal texts make equal vectors."""


@dataclass(frozen=True, slots=True)
class Neighborhoods:
    """Vectors and where the compared entities stand among them.

    Attributes:
        vectors: (n, d) float32 of all entities of one release.
        rows: (m,) rows of the entities that both releases have; the same entity has the same place in both.
    """

    vectors: Matrix
    rows: Rows


def sampled_rows(ids: pl.Series, size: int) -> Rows:
    """The rows of the ``size`` ids of the smallest hash, in ascending order of it.

    Two releases of almost the same ids get almost the same sample, so that it adds no noise of its own.
    """
    return ids.hash(seed=20240229).arg_sort()[:size].to_numpy().astype(np.int64)


def centroid_cosine(before: Matrix, now: Matrix) -> float:
    """Cosine between the means of unit vectors; 1 if nothing moved, 0 if a mean is zero."""
    first, second = _mean_direction(before), _mean_direction(now)
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.clip(first @ second / norms, -1.0, 1.0)) if norms else 0.0


def maximum_mean_discrepancy(before: Matrix, now: Matrix) -> float:
    """MMD of two samples of unit vectors, from 0 (equal) to √2.

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, eq. 5 (the biased estimate, which is 0 for equal
    samples), with the kernel exp(-‖x - y‖² / median ‖x - y‖²). Two independent samples of m vectors of one
    distribution give about 1/√m. Costs (n + m)² kernel values.

    Args:
        before: (n, d) float32.
        now: (m, d) float32.
    """
    both = _unit(np.concatenate([before, now]))
    squared = np.maximum(2.0 - 2.0 * (both @ both.T), 0.0)
    apart = squared[np.triu_indices(len(both), 1)]
    width = float(np.median(apart)) if len(apart) else 0.0
    kernel = np.exp(-squared / (width or 1.0))
    n = len(before)
    distance = kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2.0 * kernel[:n, n:].mean()
    return float(np.sqrt(max(distance, 0.0)))


def moved_entities(before: Neighborhoods, now: Neighborhoods, *, least_cosine: float) -> Rows:
    """Entities in common whose vectors point elsewhere; those that moved farthest first.

    Args:
        before: All vectors of the parent release, and the entities in common.
        now: The same of the release to be.
        least_cosine: A vector has moved if its cosine with the one before is below.

    Returns:
        Their places among the entities in common.
    """
    cosines = np.ones(len(before.rows), np.float32)
    step = max(1, _CHUNK_FLOATS // max(before.vectors.shape[1], 1))
    for start in range(0, len(cosines), step):
        part = slice(start, start + step)
        first, second = before.vectors[before.rows[part]], now.vectors[now.rows[part]]
        cosines[part] = (_unit(first) * _unit(second)).sum(axis=1)
    return np.argsort(cosines, kind="stable")[: int(np.count_nonzero(cosines < least_cosine))]


def neighbor_churn(
    before: Neighborhoods, now: Neighborhoods, queries: Rows, num_neighbors: int
) -> npt.NDArray[np.float64]:
    """Share of each query's nearest neighbours before that are among its nearest now no more.

    A neighbour stays as long as its score reaches that of the k-th best: neighbours that tie do not churn.
    Neighbours that are gone do. Costs two products of the queries with all vectors.

    Args:
        before: All vectors of the parent release, and the entities in common.
        now: The same of the release to be.
        queries: (q,) places among the entities in common.
        num_neighbors: k ≥ 1; fewer where there are fewer entities.

    Returns:
        (q,) float64 in 0 … 1.
    """
    place = np.full(len(before.vectors), -1, np.int64)
    place[before.rows] = np.arange(len(before.rows))
    norms_before, norms_now = _norms(before.vectors), _norms(now.vectors)
    churn = np.zeros(len(queries))
    step = max(1, _CHUNK_FLOATS // max(len(before.vectors), len(now.vectors), 1))
    for start in range(0, len(queries), step):
        chosen = queries[start : start + step]
        lines = np.arange(len(chosen))[:, None]
        nearest = _nearest(_scores(before, norms_before, chosen), num_neighbors)  # (step, k)
        scores = _scores(now, norms_now, chosen)  # (step, n)
        bound = scores[lines, _nearest(scores, num_neighbors)].min(axis=1, keepdims=True)
        there = place[nearest]
        reached = scores[lines, now.rows[there]] >= bound - _SAME_SCORE
        churn[start : start + step] = 1.0 - ((there >= 0) & reached).mean(axis=1)
    return churn


def _scores(space: Neighborhoods, norms: npt.NDArray[np.float32], queries: Rows) -> Matrix:
    """(q, n) cosines of queries with all vectors; -inf with itself."""
    rows = space.rows[queries]
    scores = (_unit(space.vectors[rows]) @ space.vectors.T) / norms
    scores[np.arange(len(rows)), rows] = -np.inf
    return scores


def _nearest(scores: Matrix, num_neighbors: int) -> Rows:
    k = min(num_neighbors, scores.shape[1] - 1)
    return np.argpartition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k :]


def _mean_direction(vectors: Matrix) -> npt.NDArray[np.float64]:
    total = np.zeros(vectors.shape[1])
    step = max(1, _CHUNK_FLOATS // max(vectors.shape[1], 1))
    for start in range(0, len(vectors), step):
        total += _unit(vectors[start : start + step]).sum(axis=0, dtype=np.float64)
    return total / max(len(vectors), 1)


def _unit(vectors: Matrix) -> Matrix:
    norms = np.maximum(_norms(vectors), np.float32(1e-30))
    return (vectors / norms[:, None]).astype(np.float32, copy=False)


def _norms(vectors: Matrix) -> npt.NDArray[np.float32]:
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors)).astype(np.float32)

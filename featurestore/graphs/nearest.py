"""The nearest rows of some rows at the speed of a float32 matrix product.

The scores of a block of queries with a segment of all rows are one matrix product. To pick the c best of m
scores per query without sorting them, columns are laid into groups; the maximum of each group is taken while
its scores are still in the cache, the c groups of the greatest maxima hold the c best scores, and only those
groups are looked at. What float32 cannot tell apart is left to `boundary`: see `Candidates`.
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt

from featurestore.graphs import order_keys
from featurestore.graphs.candidates import Candidates
from featurestore.graphs.order_keys import Keys
from featurestore.graphs.ranking import CheckedVectors, pair_scores

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

_QUERIES = 512
"""Rows of one product: enough for the product to run at full speed."""
_SEGMENT = 32_768
"""Columns held at once: 64 MB of scores per thread."""
_SPARE = 3
"""Nominees beyond the candidates: the query itself, and two that may be lost to rounding."""


@dataclass(frozen=True, slots=True)
class Entrants:
    """Rows that queries may have to be named by.

    Attributes:
        queries: (p,) positions in the queries.
        rows: (p,) rows whose floor the query's score reaches.
    """

    queries: Rows
    rows: Rows


def nearest(
    rows: CheckedVectors,
    queries: Rows,
    width: int,
    *,
    on_done: Callable[[int], None] = lambda _: None,
) -> Candidates:
    """Candidates of some rows among all rows.

    Args:
        rows: n vectors.
        queries: (q,) rows to find candidates for.
        width: Candidates per query at most.
        on_done: Told the number of queries that were finished.
    """
    candidates, _ = nearest_and_entrants(rows, queries, width, floors=None, on_done=on_done)
    return candidates


def nearest_and_entrants(
    rows: CheckedVectors,
    queries: Rows,
    width: int,
    *,
    floors: Scores | None,
    on_done: Callable[[int], None] = lambda _: None,
) -> tuple[Candidates, Entrants]:
    """As `nearest`, and from the same products the rows whose lists the queries may enter.

    Args:
        rows: n vectors.
        queries: (q,) rows.
        width: Candidates per query at most.
        floors: (n,) scores that a query must reach to be an entrant of the row; None if nobody asks.
        on_done: Told the number of queries that were finished.
    """
    keys = np.full((len(queries), width), order_keys.NONE, np.uint64)
    boundary = np.full(len(queries), order_keys.NONE, np.uint64)
    unit = rows.unit()
    error = rounding(unit.shape[1])
    low = None if floors is None else floors - np.float32(error)
    spare = SimpleQueue[_Scratch]()

    def search(start: int) -> Entrants:
        part = slice(start, start + _QUERIES)
        with _borrowed(spare) as scratch:
            found = _Block(unit, queries[part], min(width + _SPARE, len(rows)), low, scratch)
        weakest = found.weakest + error if len(rows) > found.wanted else np.full(len(found.rows), -np.inf)
        keys[part], boundary[part] = _ranked(
            rows, queries[part], found.rows, order_keys.below(weakest), width
        )
        return Entrants(found.entrant_queries + start, found.entrant_rows)

    entrants: list[Entrants] = []
    starts = range(0, len(queries), _QUERIES)
    with _one_blas_thread_each() as num_threads, ThreadPoolExecutor(num_threads) as pool:
        for start, found in zip(starts, pool.map(search, starts), strict=True):
            entrants.append(found)
            on_done(min(start + _QUERIES, len(queries)))
    empty = np.empty(0, np.int64)
    return Candidates(keys, boundary), Entrants(
        np.concatenate([empty, *(found.queries for found in entrants)]),
        np.concatenate([empty, *(found.rows for found in entrants)]),
    )


def rounding(embedding_dim: int) -> float:
    """Bound of the error of a float32 product of two float32 unit rows of d values.

    Each of d steps rounds by at most 2⁻²⁴ of a sum of terms ≤ 1; the rows themselves were rounded before.
    """
    return (embedding_dim + 6) * 2.0**-24


class _Scratch:
    """Room for the scores of one block, used again by the next: fresh memory is mapped page by page."""

    def __init__(self) -> None:
        self._floats = np.empty(0, np.float32)

    def room(self, height: int, width: int) -> Scores:
        """(height, width) float32 of any content, until the next call."""
        if self._floats.size < height * width:
            self._floats = np.empty(height * width, np.float32)
        return self._floats[: height * width].reshape(height, width)


@contextmanager
def _borrowed(spare: "SimpleQueue[_Scratch]") -> Generator[_Scratch]:
    """Room that no other thread works in, for a while."""
    try:
        scratch = spare.get_nowait()
    except Empty:
        scratch = _Scratch()
    try:
        yield scratch
    finally:
        spare.put(scratch)


class _Block:
    """The best columns of one block of queries, by float32 scores.

    Args:
        unit: (n, d) float32 unit rows.
        queries: (q,) rows.
        wanted: How many columns per query, at most n.
        floors: (n,) scores that make a query an entrant of a row, or None.
        scratch: Room to work in.
    """

    def __init__(
        self, unit: Scores, queries: Rows, wanted: int, floors: Scores | None, scratch: _Scratch
    ) -> None:
        self._unit = unit
        self._vectors = unit[queries]
        self._floors = floors
        self._scratch = scratch
        self.wanted = wanted
        self._entrants: list[tuple[Rows, Rows]] = []
        found = [self._segment(start) for start in range(0, len(unit), _SEGMENT)]
        scores = np.concatenate([part[0] for part in found], axis=1)
        columns = np.concatenate([part[1] for part in found], axis=1)
        best = np.argpartition(scores, scores.shape[1] - wanted, axis=1)[:, -wanted:]
        self.rows = np.take_along_axis(columns, best, axis=1)  # (q, wanted)
        self.weakest = np.take_along_axis(scores, best, axis=1).min(axis=1).astype(np.float64)  # (q,)

    @property
    def entrant_queries(self) -> Rows:
        """Positions of the queries that enter `entrant_rows`."""
        return np.concatenate([np.empty(0, np.int64), *(part[0] for part in self._entrants)])

    @property
    def entrant_rows(self) -> Rows:
        """Rows that queries enter."""
        return np.concatenate([np.empty(0, np.int64), *(part[1] for part in self._entrants)])

    def _segment(self, first: int) -> tuple[Scores, Rows]:
        """The best of the columns from ``first`` on: (q, w) scores and rows, w = min(wanted, columns)."""
        size = min(_SEGMENT, len(self._unit) - first)
        wanted = min(self.wanted, size)
        num_groups = -(-size // max(1, round((size / wanted) ** 0.5 / 2)))  # measured: few members are best
        depth = -(-size // num_groups)
        scores = self._scratch.room(len(self._vectors), depth * num_groups)
        scores[:, size:] = -np.inf
        maxima = np.full((len(scores), num_groups), -np.inf, np.float32)
        for start in range(0, size, num_groups):
            part = scores[:, start : min(start + num_groups, size)]
            rows = slice(first + start, first + start + part.shape[1])
            np.matmul(self._vectors, self._unit[rows].T, out=part)
            np.maximum(maxima[:, : part.shape[1]], part, out=maxima[:, : part.shape[1]])
            self._note_entrants(part, rows)
        groups = np.argpartition(maxima, num_groups - wanted, axis=1)[:, -wanted:]  # (q, wanted)
        groups.sort(axis=1)  # memory is read in order below
        columns = groups[:, None, :] + (np.arange(depth) * num_groups)[:, None]  # (q, depth, wanted)
        columns = columns.reshape(len(scores), -1)
        flat = columns + (np.arange(len(scores)) * scores.shape[1])[:, None]
        nominees = scores.ravel().take(flat)
        best = np.argpartition(nominees, nominees.shape[1] - wanted, axis=1)[:, -wanted:]
        return np.take_along_axis(nominees, best, axis=1), np.take_along_axis(columns, best, axis=1) + first

    def _note_entrants(self, scores: Scores, rows: slice) -> None:
        if self._floors is None:
            return
        queries, columns = np.nonzero(scores >= self._floors[rows])
        self._entrants.append((queries, columns + rows.start))


def _ranked(
    rows: CheckedVectors, queries: Rows, nominees: Rows, boundary: Keys, width: int
) -> tuple[Keys, Keys]:
    """Nominees by exact score, without the query, cut at the boundary and at ``width``."""
    keys = order_keys.encode(pair_scores(rows, queries, nominees), nominees)
    keys[(nominees == queries[:, None]) | (keys > boundary[:, None])] = order_keys.NONE
    return cut(keys, boundary, width)


def cut(keys: Keys, boundary: Keys, width: int) -> tuple[Keys, Keys]:
    """Lists sorted and cut to ``width``; what is cut off moves the boundary before it."""
    keys.sort(axis=1)
    kept = np.full((len(keys), width), order_keys.NONE, np.uint64)
    kept[:, : keys.shape[1]] = keys[:, :width]
    was_cut = keys[:, width] != order_keys.NONE if keys.shape[1] > width else np.zeros(len(keys), np.bool_)
    return kept, np.where(was_cut, kept[:, width - 1], boundary)


@contextmanager
def _one_blas_thread_each() -> Generator[int]:
    """Let each thread multiply on its own, so that picking runs in parallel too; yields their number."""
    from threadpoolctl import threadpool_info, threadpool_limits

    allowed = [int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"]
    with threadpool_limits(1, user_api="blas"):
        yield max(allowed, default=1)

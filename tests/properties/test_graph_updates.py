"""Graphs that were brought up to date through random histories equal graphs built anew."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.graph import NeighborLists
from featurestore.graphs.blocked import BlockedGraphBuilder
from featurestore.graphs.candidates import SPARE
from featurestore.graphs.ranking import SCORE_STEP
from featurestore.graphs.updating import KnownLists

Vectors = Mapping[str, npt.NDArray[np.float32]]


def by_definition(vectors: npt.NDArray[np.float32], num_neighbors: int) -> npt.NDArray[np.float64]:
    """All similarities in float64, by NumPy alone; a node is not its own neighbour."""
    rows = vectors.astype(np.float64)
    rows /= np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    return scores


def assert_exact(found: NeighborLists, vectors: npt.NDArray[np.float32], num_neighbors: int) -> None:
    """The oracle's lists, save swaps of neighbours whose scores differ by `SCORE_STEP` at most."""
    scores = by_definition(vectors, num_neighbors)
    k = min(num_neighbors, len(vectors) - 1)
    assert (found.neighbors[:, k:] == -1).all()
    for node, (neighbors, given_scores) in enumerate(zip(found.neighbors, found.scores, strict=True)):
        listed = neighbors[:k]
        assert len(set(listed)) == k
        assert node not in listed
        best = np.sort(scores[node])[::-1][:k]
        np.testing.assert_allclose(scores[node][listed], best, atol=SCORE_STEP, rtol=0)
        np.testing.assert_allclose(given_scores[:k], best, atol=SCORE_STEP, rtol=0)
        for one, other in pairwise(listed):
            closer = scores[node][one] - scores[node][other]
            assert closer >= -SCORE_STEP
            if closer == 0:
                assert one < other


def arrays(vectors: Vectors, dim: int) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float32]]:
    ids = np.array(sorted(vectors), dtype=np.object_)
    return ids, np.array([vectors[name] for name in ids], np.float32).reshape(len(ids), dim)


class History:
    """Random nodes that come, go and move; on a grid, where ties and twins are many, or anywhere."""

    def __init__(self, seed: int, dim: int, *, on_grid: bool) -> None:
        self._rng = np.random.default_rng(seed)
        self._dim = dim
        self._on_grid = on_grid
        self.nodes: dict[str, npt.NDArray[np.float32]] = {}

    def vector(self) -> npt.NDArray[np.float32]:
        drawn = self._rng.integers(-2, 3, self._dim) if self._on_grid else self._rng.normal(size=self._dim)
        drawn = drawn.astype(np.float32)
        return drawn if drawn.any() else np.ones(self._dim, np.float32)

    def add(self, count: int) -> None:
        for number in self._rng.choice(100_000, count, replace=False):
            self.nodes.setdefault(f"n{number:05}", self.vector())

    def drop(self, share: float) -> None:
        for name in self._some(share):
            del self.nodes[name]

    def move(self, share: float) -> None:
        for name in self._some(share):
            self.nodes[name] = self.vector()

    def _some(self, share: float) -> list[str]:
        names = sorted(self.nodes)
        count = min(int(len(names) * share), len(names) - 1)
        return self._rng.choice(names, count, replace=False).tolist()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    num_nodes=st.integers(1, 160),
    dim=st.integers(1, 12),
    k=st.integers(1, 9),
    on_grid=st.booleans(),
    nights=st.lists(
        st.tuples(st.integers(0, 8), st.floats(0, 0.2), st.floats(0, 0.2)), min_size=1, max_size=5
    ),
)
def test_an_updated_graph_equals_one_built_anew(
    seed: int, num_nodes: int, dim: int, k: int, on_grid: bool, nights: list[tuple[int, float, float]]
) -> None:
    history = History(seed, dim, on_grid=on_grid)
    history.add(num_nodes)
    builder = BlockedGraphBuilder()
    known: KnownLists | None = None
    for added, dropped, moved in [(0, 0.0, 0.0), *nights]:
        history.drop(dropped)
        history.move(moved)
        history.add(added)
        ids, vectors = arrays(history.nodes, dim)
        known, work = builder.update(ids, vectors, k, known=known)
        lists = known.candidates.lists(k)
        assert_exact(lists, vectors, k)
        anew = builder.build(vectors, k)
        np.testing.assert_array_equal(lists.neighbors, anew.neighbors)
        np.testing.assert_array_equal(lists.scores, anew.scores)
        assert work.num_changed + work.num_recomputed <= len(ids)


def test_lists_that_lost_too_many_are_searched_anew_and_counted() -> None:
    """All SPARE + 1 candidates that one node can lose go in one night."""
    history = History(7, 16, on_grid=False)
    history.add(400)
    builder, k = BlockedGraphBuilder(), 4
    ids, vectors = arrays(history.nodes, 16)
    known, _ = builder.update(ids, vectors, k, known=None)
    lost = known.candidates.lists(k + SPARE).neighbors[0][: SPARE + 1]
    for row in lost:
        del history.nodes[ids[row]]
    ids, vectors = arrays(history.nodes, 16)
    known, work = builder.update(ids, vectors, k, known=known)
    assert_exact(known.candidates.lists(k), vectors, k)
    assert (work.num_changed, work.num_deleted) == (0, SPARE + 1)
    assert 1 <= work.num_recomputed < 40
    assert work.gemm_flops == 2 * 16 * work.num_recomputed * len(ids)


def test_work_grows_with_what_changed_and_half_is_built_anew() -> None:
    history = History(3, 32, on_grid=False)
    history.add(1_000)
    builder = BlockedGraphBuilder()
    ids, vectors = arrays(history.nodes, 32)
    known, first = builder.update(ids, vectors, 10, known=None)
    assert (first.num_changed, first.gemm_flops) == (1_000, first.full_gemm_flops)
    again, nothing = builder.update(ids, vectors, 10, known=known)
    assert (nothing.num_changed, nothing.gemm_flops) == (0, 0)
    np.testing.assert_array_equal(again.candidates.keys, known.candidates.keys)
    history.move(0.01)
    ids, vectors = arrays(history.nodes, 32)
    known, little = builder.update(ids, vectors, 10, known=known)
    assert (little.num_changed, little.num_recomputed) == (10, 0)
    assert little.gemm_flops == little.full_gemm_flops / 100
    history.move(0.5)
    ids, vectors = arrays(history.nodes, 32)
    _, much = builder.update(ids, vectors, 10, known=known)
    assert (much.num_changed, much.gemm_flops) == (1_000, much.full_gemm_flops)


@pytest.mark.parametrize("num_twins", [2, 30, 200])
def test_identical_vectors_are_searched_once_and_every_node_has_its_list(
    rng: np.random.Generator, num_twins: int
) -> None:
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    vectors[rng.choice(300, num_twins, replace=False)] = vectors[0]
    builder = BlockedGraphBuilder()
    ids = np.array([f"n{row:03}" for row in range(300)], dtype=np.object_)
    known, work = builder.update(ids, vectors, 6, known=None)
    assert_exact(known.candidates.lists(6), vectors, 6)
    distinct = len(np.unique(vectors, axis=0))
    assert work.num_full_rows == distinct < 300
    assert work.gemm_flops == 2 * 8 * distinct**2


def test_nodes_with_more_twins_than_candidates_outlive_the_loss_of_their_list() -> None:
    """One vector for all: nobody else is nominated, and most twins are left out of every list."""
    vectors, k = np.ones((100, 4), np.float32), 3
    ids = np.array([f"n{row:03}" for row in range(100)], dtype=np.object_)
    builder = BlockedGraphBuilder()
    known, _ = builder.update(ids, vectors, k, known=None)
    gone = SPARE + 2
    left, _ = builder.update(ids[gone:], vectors[gone:], k, known=known)
    assert_exact(left.candidates.lists(k), vectors[gone:], k)

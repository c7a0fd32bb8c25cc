"""What every graph builder promises. FAISS on a GPU runs the same suite where there is one."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import InputError, SetupError
from featurestore.graph import GraphBuilder, NeighborLists
from featurestore.graphs import open_builder

Vectors = npt.NDArray[np.float32]


def _gpu_builder() -> GraphBuilder:
    builder = open_builder("faiss_knn", "gpu")
    try:
        builder.build(np.eye(3, dtype=np.float32), 1)
    except SetupError as error:
        pytest.skip(f"no FAISS GPU: {error.message}")
    return builder


@pytest.fixture(
    params=[
        lambda: open_builder("blocked"),
        lambda: open_builder("exact"),
        lambda: open_builder("faiss_knn"),
        _gpu_builder,
    ],
    ids=["blocked", "exact", "faiss-cpu", "faiss-gpu"],
)
def builder(request: pytest.FixtureRequest) -> GraphBuilder:
    make: Callable[[], GraphBuilder] = request.param
    return make()


def brute_force(vectors: Vectors, num_neighbors: int) -> NeighborLists:
    """By the definition: all pairs in float64, rounded to float32, sorted by score, then by row."""
    exact = vectors.astype(np.float64)
    unit = exact / np.sqrt((exact * exact).sum(axis=1, keepdims=True))
    n = len(unit)
    neighbors = np.full((n, num_neighbors), -1, np.int64)
    scores = np.zeros((n, num_neighbors), np.float32)
    for row in range(n):
        pairs = [(-np.float32((unit[row] * unit[other]).sum()), other) for other in range(n) if other != row]
        for rank, (score, other) in enumerate(sorted(pairs)[:num_neighbors]):
            neighbors[row, rank], scores[row, rank] = other, -score
    return NeighborLists(neighbors, scores)


def assert_same(found: NeighborLists, expected: NeighborLists) -> None:
    np.testing.assert_array_equal(found.neighbors, expected.neighbors)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


@pytest.mark.parametrize(("n", "d", "k"), [(60, 8, 5), (200, 384, 20), (30, 3, 29), (500, 2, 7)])
def test_equals_the_definition(
    builder: GraphBuilder, rng: np.random.Generator, n: int, d: int, k: int
) -> None:
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    assert_same(builder.build(vectors, k), brute_force(vectors, k))


def test_shapes_types_and_order(builder: GraphBuilder, rng: np.random.Generator) -> None:
    lists = builder.build(rng.normal(size=(50, 6)).astype(np.float32), 4)
    assert (lists.neighbors.shape, lists.neighbors.dtype) == ((50, 4), np.int64)
    assert (lists.scores.shape, lists.scores.dtype) == ((50, 4), np.float32)
    assert (np.diff(lists.scores, axis=1) <= 0).all()
    assert (lists.neighbors != np.arange(50)[:, None]).all()


def test_identical_vectors_rank_by_row(builder: GraphBuilder, rng: np.random.Generator) -> None:
    """More equal vectors than any builder keeps candidates: the lowest rows win, and none is lost."""
    same = np.tile(rng.normal(size=(1, 16)).astype(np.float32), (90, 1))
    lists = builder.build(np.concatenate([same, -same]), 5)
    np.testing.assert_array_equal(lists.neighbors[0], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(lists.neighbors[3], [0, 1, 2, 4, 5])
    np.testing.assert_array_equal(lists.neighbors[80], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(lists.neighbors[100], [90, 91, 92, 93, 94])
    np.testing.assert_allclose(lists.scores, 1.0, atol=1e-6)


def test_length_does_not_matter(builder: GraphBuilder, rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    scaled = vectors * rng.uniform(0.5, 100.0, size=(40, 1)).astype(np.float32)
    np.testing.assert_array_equal(builder.build(vectors, 6).neighbors, builder.build(scaled, 6).neighbors)


def test_fewer_others_than_neighbours_is_padded(builder: GraphBuilder) -> None:
    lists = builder.build(np.eye(3, dtype=np.float32), 5)
    np.testing.assert_array_equal(lists.neighbors[0], [1, 2, -1, -1, -1])
    np.testing.assert_array_equal(lists.scores[:, 2:], 0.0)
    alone = builder.build(np.ones((1, 3), np.float32), 2)
    np.testing.assert_array_equal(alone.neighbors, [[-1, -1]])
    assert builder.build(np.ones((0, 3), np.float32), 2).neighbors.shape == (0, 2)


def test_bad_rows_are_named(builder: GraphBuilder) -> None:
    vectors = np.ones((4, 3), np.float32)
    vectors[2] = 0
    with pytest.raises(InputError, match="vector row 2 holds only zeros"):
        builder.build(vectors, 1)
    vectors[1, 0] = np.nan
    with pytest.raises(InputError, match="vector row 1 holds NaN or an infinity"):
        builder.build(vectors, 1)
    with pytest.raises(InputError, match=r"must have the shape \(n, d\) with d ≥ 1, found \(3,\)"):
        builder.build(np.ones(3, np.float32), 1)


@pytest.mark.parametrize("name", ["blocked", "exact", "faiss_knn"])
@given(
    vectors=st.integers(1, 4).flatmap(
        lambda d: st.lists(
            st.lists(st.integers(-2, 2), min_size=d, max_size=d).filter(any), min_size=1, max_size=40
        )
    ),
    k=st.integers(1, 8),
)
def test_small_grids_full_of_ties_equal_the_definition(name: str, vectors: list[list[int]], k: int) -> None:
    rows = np.array(vectors, np.float32)
    assert_same(open_builder(name).build(rows, k), brute_force(rows, k))

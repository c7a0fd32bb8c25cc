import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.gates.drift import (
    Neighborhoods,
    centroid_cosine,
    maximum_mean_discrepancy,
    moved_entities,
    neighbor_churn,
    sampled_rows,
)
from featurestore.graphs.components import component_of
from featurestore.graphs.degrees import hub_edge_share, is_hub


def cloud(seed: int, rows: int = 60, dim: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def whole(vectors: np.ndarray) -> Neighborhoods:
    return Neighborhoods(vectors, np.arange(len(vectors)))


def scores_by_hand(vectors: np.ndarray, row: int) -> np.ndarray:
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1)[:, None]
    scores = unit @ unit[row]
    scores[row] = -np.inf
    return scores


@given(seed=st.integers(0, 10_000), changed=st.integers(0, 20), gone=st.integers(0, 10), k=st.integers(1, 9))
def test_churn_is_that_of_a_slow_count(seed: int, changed: int, gone: int, k: int) -> None:
    before, rng = cloud(seed), np.random.default_rng(seed)
    after = before.copy()
    after[rng.choice(60, size=changed, replace=False)] = cloud(seed + 1, rows=changed)
    kept = np.sort(rng.choice(60, size=60 - gone, replace=False))
    order = rng.permutation(len(kept))  # rows of the two tables need not stand in the same order
    now = after[kept[order]]
    place = {int(kept[old]): row for row, old in enumerate(order)}
    common = np.array([place[int(row)] for row in kept])
    queries = np.arange(len(kept))
    found = neighbor_churn(Neighborhoods(before, kept), Neighborhoods(now, common), queries, k)
    for query, share in zip(queries, found, strict=True):
        nearest = np.argsort(-scores_by_hand(before, int(kept[query])))[:k]
        scores = scores_by_hand(now, int(common[query]))
        bound = np.sort(scores)[-k] - 1e-4  # what ties with the k-th stays
        lost = [row for row in nearest if row not in place or scores[place[int(row)]] < bound]
        assert share == pytest.approx(len(lost) / k, abs=1e-9)


def test_equal_vectors_do_not_churn_however_they_are_ordered() -> None:
    before = np.repeat(cloud(1, rows=3), 20, axis=0)
    now = before + np.random.default_rng(2).normal(0, 1e-7, before.shape).astype(np.float32)
    assert neighbor_churn(whole(before), whole(now), np.arange(60), 5).max() == 0


def test_churn_of_very_few() -> None:
    two = cloud(3, rows=2)
    assert neighbor_churn(whole(two), whole(two), np.arange(2), 10).tolist() == [0, 0]


def test_shuffled_vectors_move_neighbours_but_neither_the_mean_nor_the_cloud() -> None:
    before = cloud(4, rows=400)
    now = before[np.random.default_rng(5).permutation(400)]
    assert centroid_cosine(before, now) == pytest.approx(1.0)
    assert maximum_mean_discrepancy(before, now) == pytest.approx(0.0, abs=1e-3)
    assert neighbor_churn(whole(before), whole(now), np.arange(400), 10).mean() > 0.9


@given(seed=st.integers(0, 10_000), length=st.floats(0.1, 50))
def test_lengths_do_not_count(seed: int, length: float) -> None:
    before = cloud(seed)
    longer = (before * np.float32(length)).astype(np.float32)
    assert centroid_cosine(before, longer) == pytest.approx(1.0, abs=1e-5)
    assert maximum_mean_discrepancy(before, longer) == pytest.approx(0.0, abs=5e-3)
    assert len(moved_entities(whole(before), whole(longer), least_cosine=0.99)) == 0


def test_mmd_by_hand() -> None:
    east, north = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    # One pair at a squared distance of 2, which is the median: k = exp(-1) across, 1 with itself.
    assert maximum_mean_discrepancy(east, north) == pytest.approx(np.sqrt(2 - 2 * np.exp(-1)), abs=1e-6)
    assert maximum_mean_discrepancy(east, east) == 0


def test_mmd_of_two_draws_of_one_distribution_is_about_one_over_the_root() -> None:
    assert maximum_mean_discrepancy(cloud(6, rows=1000), cloud(7, rows=1000)) < 2 / np.sqrt(1000)
    assert maximum_mean_discrepancy(cloud(6, rows=1000), cloud(7, rows=1000) + 1.0) > 0.3


def test_a_mean_of_zero_agrees_with_nothing() -> None:
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    assert centroid_cosine(opposite, opposite + 1.0) == 0.0


def test_moved_entities_come_farthest_first() -> None:
    before = np.eye(4, dtype=np.float32)
    now = before.copy()
    now[1] = [0.6, 0.8, 0, 0]
    now[3] = [0, 0, 0, -1]
    assert moved_entities(whole(before), whole(now), least_cosine=0.99).tolist() == [3, 1]


def test_the_sample_follows_the_ids() -> None:
    ids = pl.Series([f"i{n}" for n in range(1000)])
    first = set(ids.gather(sampled_rows(ids, 100)))
    rest = ids.gather(np.random.default_rng(0).permutation(1000)[:990])
    assert len(first) == 100
    assert len(first & set(rest.gather(sampled_rows(rest, 100)))) >= 95
    assert sampled_rows(ids.head(3), 100).shape == (3,)


@given(
    num_nodes=st.integers(1, 30),
    edges=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60),
)
def test_components_are_those_of_a_walk(num_nodes: int, edges: list[tuple[int, int]]) -> None:
    edges = [(a % num_nodes, b % num_nodes) for a, b in edges]
    beside: dict[int, set[int]] = {node: {node} for node in range(num_nodes)}
    for a, b in edges:
        beside[a].add(b)
        beside[b].add(a)
    sources, targets = np.array([*zip(*edges, strict=True)] or [(), ()], np.int64)
    found = component_of(num_nodes, sources, targets)
    for node in range(num_nodes):
        reached, waiting = {node}, [node]
        while waiting:
            new = beside[waiting.pop()] - reached
            reached |= new
            waiting += new
        assert found[node] == min(reached)


def test_a_star_is_a_hub() -> None:
    in_degree = np.array([20, *[1] * 10])
    assert is_hub(in_degree).tolist() == [True] + [False] * 10
    assert hub_edge_share(in_degree) == pytest.approx(2 / 3)
    assert hub_edge_share(np.zeros(3, np.int64)) == 0

"""Searches are tried on a sample and chosen by seconds and recall."""

import numpy as np
import pytest

from featurestore.graph import NeighborLists
from featurestore.graphs import open_builder
from featurestore.graphs.cost_model import SearchEstimate, cheapest, estimate_searches, recall
from featurestore.spec import ExactSearch, HnswSearch, IvfSearch


def lists(*rows: list[int]) -> NeighborLists:
    neighbors = np.array(rows)
    return NeighborLists(neighbors, np.zeros(neighbors.shape, np.float32))


def test_recall_counts_true_neighbours_wherever_they_are_listed() -> None:
    assert recall(lists([2, 1], [0, 3]), lists([1, 2], [2, 3])) == 0.75
    assert recall(lists([1, -1]), lists([1, -1])) == 1.0
    assert recall(lists([-1, -1]), lists([-1, -1])) == 1.0
    assert recall(lists([-1, -1]), lists([1, -1])) == 0.0


def test_the_fastest_that_finds_enough_is_chosen() -> None:
    exact = SearchEstimate(ExactSearch(), "cpu", 100.0, 1.0)
    ivf = SearchEstimate(IvfSearch(num_lists=10, num_probes=1), "cpu", 1.0, 0.8)
    hnsw = SearchEstimate(HnswSearch(), "cpu", 5.0, 0.97)
    assert cheapest([exact, ivf, hnsw], 0.5) is ivf
    assert cheapest([exact, ivf, hnsw], 0.95) is hnsw
    assert cheapest([exact, ivf, hnsw], 0.99) is exact


def test_every_search_is_tried_on_the_sample_and_named_for_all_nodes(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(3_000, 8)).astype(np.float32)
    estimates = estimate_searches(vectors, 5, with_gpu=False, sample_rows=1_000)
    assert [each.seconds for each in estimates] == sorted(each.seconds for each in estimates)
    methods = [each.search.method for each in estimates]
    assert (methods.count("exact"), methods.count("ivf"), methods.count("hnsw")) == (1, 4, 3)
    exact = next(each for each in estimates if each.search.method == "exact")
    assert exact.recall == 1.0
    assert {each.search.num_lists for each in estimates if isinstance(each.search, IvfSearch)} == {219}
    assert all(0.2 < each.recall <= 1.0 for each in estimates)


@pytest.mark.parametrize(
    ("search", "at_least"),
    [(IvfSearch(num_lists=20, num_probes=20), 1.0), (IvfSearch(num_lists=20, num_probes=4), 0.5),
     (HnswSearch(search_effort=200), 0.95)],
)  # fmt: skip
def test_approximate_lists_hold_real_neighbours_in_order(
    rng: np.random.Generator, search: IvfSearch | HnswSearch, at_least: float
) -> None:
    """What is found is scored exactly; with all clusters searched, nothing is missed."""
    vectors = rng.normal(size=(800, 12)).astype(np.float32)
    found = open_builder(search=search).build(vectors, 6)
    truth = open_builder("exact").build(vectors, 6)
    assert recall(found, truth) >= at_least
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert (found.neighbors != np.arange(800)[:, None]).all()
    same = found.neighbors == truth.neighbors
    np.testing.assert_array_equal(found.scores[same], truth.scores[same])

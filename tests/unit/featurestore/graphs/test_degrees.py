"""Degree statistics on graphs small enough to count by hand."""

import numpy as np

from featurestore.graph import NeighborLists
from featurestore.graphs.degrees import DegreeStats, degree_stats
from featurestore.graphs.edges import GraphShape, linked


def stats_of(neighbors: np.ndarray, scores: np.ndarray) -> DegreeStats:
    return degree_stats(linked(NeighborLists(neighbors, scores), GraphShape()))


def test_a_star_has_one_hub_and_unreached_leaves() -> None:
    leaves = np.zeros((11, 1), np.int64)
    stats = stats_of(np.concatenate([[[1]], leaves]), np.full((12, 1), 0.5, np.float32))
    assert (stats.num_nodes, stats.num_edges, stats.in_degree_max) == (12, 12, 11)
    assert (stats.num_hubs, stats.num_unreached, stats.num_isolated) == (1, 10, 0)
    assert stats.hub_edge_share == 11 / 12
    assert stats.mutual_share == 2 / 12
    assert stats.in_degree_median == 0.0
    assert stats.mean_score == 0.5


def test_a_node_alone_is_isolated() -> None:
    stats = stats_of(np.full((1, 3), -1, np.int64), np.zeros((1, 3), np.float32))
    assert (stats.num_edges, stats.num_isolated, stats.mean_score) == (0, 1, 0.0)


def test_an_empty_graph_has_zeros_everywhere() -> None:
    stats = stats_of(np.empty((0, 2), np.int64), np.empty((0, 2), np.float32))
    assert set(stats.model_dump().values()) == {0}

"""Edges of lists small enough to write down, and what every shape promises of any lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from featurestore.graph import NeighborLists
from featurestore.graphs import open_builder
from featurestore.graphs.edges import EdgeList, GraphShape, linked, weighted

LISTS = NeighborLists(
    np.array([[1, 2], [0, 2], [1, 3], [2, -1]]),
    np.array([[0.9, 0.5], [0.9, 0.8], [0.8, 0.3], [0.3, 0]], np.float32),
)
"""0 and 1 name each other, 1 and 2, 2 and 3; 0 names 2 in vain."""


def pairs(edges: EdgeList) -> list[tuple[int, int, int]]:
    return list(zip(edges.sources.tolist(), edges.targets.tolist(), edges.ranks.tolist(), strict=True))


def shaped(**options: object) -> EdgeList:
    shape = GraphShape.model_validate(options)
    return weighted(linked(LISTS, shape), shape)


def test_by_default_the_lists_stay_as_they_are() -> None:
    edges = shaped()
    assert pairs(edges) == [(0, 1, 0), (0, 2, 1), (1, 0, 0), (1, 2, 1), (2, 1, 0), (2, 3, 1), (3, 2, 0)]
    np.testing.assert_array_equal(edges.scores, np.float32([0.9, 0.5, 0.9, 0.8, 0.8, 0.3, 0.3]))


def test_union_adds_the_way_back_at_its_rank() -> None:
    edges = shaped(symmetry="union")
    assert [pair for pair in pairs(edges) if pair[0] == 2] == [(2, 1, 0), (2, 0, 1), (2, 3, 2)]
    assert len(edges.sources) == 8


def test_mutual_keeps_what_both_ends_name() -> None:
    assert pairs(shaped(symmetry="mutual")) == [
        (0, 1, 0), (1, 0, 0), (1, 2, 1), (2, 1, 0), (2, 3, 1), (3, 2, 0),
    ]  # fmt: skip


def test_a_node_keeps_its_strongest_incoming_edges() -> None:
    """2 is named by 0 (0.5), 1 (0.8) and 3 (0.3)."""
    kept = pairs(shaped(max_in_degree=1))
    assert kept == [(0, 1, 0), (1, 0, 0), (1, 2, 1), (2, 3, 0)]


def test_a_symmetric_graph_stays_symmetric_when_edges_go() -> None:
    assert pairs(shaped(symmetry="mutual", max_in_degree=1)) == [(0, 1, 0), (1, 0, 0)]


def test_a_self_loop_is_the_first_edge_of_each_node_even_without_others() -> None:
    edges = shaped(symmetry="mutual", max_in_degree=1, self_loops=True)
    assert pairs(edges) == [(0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1), (2, 2, 0), (3, 3, 0)]
    np.testing.assert_array_equal(edges.scores, np.float32([1, 0.9, 1, 0.9, 1, 1]))


def test_binary_edges_weigh_one_in_the_same_order() -> None:
    edges = shaped(weights="binary")
    assert pairs(edges) == pairs(shaped())
    np.testing.assert_array_equal(edges.scores, np.ones(7, np.float32))


def test_a_degree_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_in_degree"):
        GraphShape(max_in_degree=0)


@given(
    n=st.integers(1, 40),
    k=st.integers(1, 8),
    seed=st.integers(0, 2**31),
    symmetry=st.sampled_from(["directed", "union", "mutual"]),
    cap=st.none() | st.integers(1, 6),
)
def test_every_shape_keeps_its_promises(n: int, k: int, seed: int, symmetry: str, cap: int | None) -> None:
    vectors = np.random.default_rng(seed).integers(-3, 4, size=(n, 4)).astype(np.float32)
    vectors[~vectors.any(axis=1)] = 1
    lists = open_builder("exact").build(vectors, k)
    edges = linked(lists, GraphShape.model_validate({"symmetry": symmetry, "max_in_degree": cap}))
    named = {(s, int(t)) for s in range(n) for t in lists.neighbors[s] if t >= 0}
    found = {(s, t) for s, t, _ in pairs(edges)}
    assert len(found) == len(edges.sources)
    if symmetry == "directed":
        allowed = named
    else:
        turned = {(t, s) for s, t in named}
        allowed = named | turned if symmetry == "union" else named & turned
        assert found == {(t, s) for s, t in found}
    assert found == allowed if cap is None else found <= allowed
    incoming = np.bincount(edges.targets, minlength=n)
    assert cap is None or incoming.max(initial=0) <= cap
    for node in range(n):
        own = edges.sources == node
        assert edges.ranks[own].tolist() == list(range(own.sum()))
        assert (np.diff(edges.scores[own]) <= 0).all()

"""Graphs as readers get them: compressed rows, edge index, neighbours by id, nodes as rows of an id map."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import ITEM_IDS, fill_store

from featurestore import schema
from featurestore.errors import MissingIdsError
from featurestore.gates.policy import GatePolicy
from featurestore.id_maps import IdMap
from featurestore.neighbor_graph import graph_of_edges
from featurestore.reader import FeatureStore, NeighborGraph
from featurestore.releases.publish import publish
from featurestore.spec import GraphSpec
from featurestore.stores.memory import MemoryStore

SPEC = GraphSpec(
    feature="item_text", view="text", entity="item", vector_digest="0" * 32, pooling="own", num_neighbors=2
)
COLUMNS = dict(zip(schema.EDGES.names, (pl.String, pl.String, pl.Int32, pl.Float32), strict=True))


@pytest.fixture
def graph() -> NeighborGraph:
    store = MemoryStore()
    fill_store(store)
    publish(store, gates=GatePolicy(max_duplicate_text_share=1.0))
    return FeatureStore(store).release().graph("item_text")


def _graph(edges: list[tuple[str, str, int, float]]) -> NeighborGraph:
    return graph_of_edges(pl.DataFrame(edges, schema=COLUMNS, orient="row"), SPEC)


def test_compressed_rows(graph):
    assert graph.ids == list(ITEM_IDS[:5])
    assert graph.indptr.tolist() == [0, 2, 4, 6, 8, 10]
    assert graph.indices.tolist() == [1, 2, 2, 3, 3, 4, 4, 0, 0, 1]
    assert (graph.indptr.dtype, graph.indices.dtype, graph.scores.dtype) == (np.int64, np.int64, np.float32)
    np.testing.assert_allclose(graph.scores[:2], [1.0, 0.9], rtol=1e-6)
    assert graph.edge_index().tolist() == [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4], graph.indices.tolist()]
    assert graph.stats["mutual_share"] == 0.0
    assert graph.stats["num_edges"] == 10
    assert graph.stats["max_in_degree"] == 2


def test_edges_as_a_table(graph):
    table = graph.to_polars()
    assert table.schema == dict(
        zip(schema.EDGES.names, (pl.String, pl.String, pl.Int32, pl.Float32), strict=True)
    )
    assert table.rows()[:2] == [("i0", "i1", 0, 1.0), ("i0", "i2", 1, pytest.approx(0.9))]
    again = graph_of_edges(table.sample(fraction=1.0, shuffle=True, seed=0), SPEC)
    assert (again.ids, again.edge_index().tolist()) == (graph.ids, graph.edge_index().tolist())


def test_neighbors_by_id(graph):
    assert graph.neighbors("i4") == [("i0", 1.0), ("i1", pytest.approx(0.9))]
    with pytest.raises(MissingIdsError, match=r"the id 'i5' is not in the graph item_text\.text\."):
        graph.neighbors("i5")


def test_no_edges():
    empty = _graph([])
    assert (empty.ids, empty.indptr.tolist(), empty.edge_index().shape) == ([], [0], (2, 0))
    assert (empty.stats["num_edges"], empty.to_polars().shape) == (0, (0, 4))
    aligned = empty.on_rows(IdMap(("a", "b")))
    assert (aligned.indptr.tolist(), aligned.edge_index().shape) == ([0, 0, 0], (2, 0))


def test_nodes_outside_the_id_map_are_named(graph):
    with pytest.raises(MissingIdsError, match="the id 'i4' is not in the id map"):
        graph.on_rows(IdMap(ITEM_IDS[:4]))


@given(
    edges=st.sets(st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg")), max_size=25),
    rows=st.permutations("abcdefghij"),
)
def test_rows_of_an_id_map_as_nodes_keep_every_edge(edges: set[tuple[str, str]], rows: list[str]) -> None:
    ranks: dict[str, int] = {}
    table: list[tuple[str, str, int, float]] = []
    for source, target in sorted(edges):
        rank = ranks[source] = ranks.get(source, -1) + 1
        table.append((source, target, rank, 1.0 - rank / 8))
    aligned = _graph(table).on_rows(IdMap(tuple(rows)))
    assert len(aligned) == 10
    sources, targets = aligned.edge_index()
    found = zip(sources.tolist(), targets.tolist(), aligned.scores.tolist(), strict=True)
    expected = sorted(
        (rows.index(source), rank, rows.index(target), score) for source, target, rank, score in table
    )
    assert list(found) == [(source, target, score) for source, _, target, score in expected]
    assert all(aligned.neighbors(node) == [] for node in rows if node not in ranks)

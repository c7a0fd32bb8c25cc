"""Graphs from stored vectors: own nodes, pooled users, what is measured, what is written."""

from typing import Any

import numpy as np
import pytest
from graph_world import ITEMS, build, put_events, put_vectors
from hypothesis import given
from hypothesis import strategies as st
from store_samples import ITEM_IDS, add_sources, add_texts, add_vectors, fill_store

from featurestore import schema
from featurestore.errors import (
    InputError,
    MissingVersionError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.graph import NeighborLists
from featurestore.graphs import open_builder
from featurestore.graphs.build import build_graph, edge_table, read_quality
from featurestore.graphs.edges import GraphShape, linked
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.spec import ExactSearch
from featurestore.splits import current_split
from featurestore.stores.memory import MemoryStore


def test_own_nodes_are_sorted_by_id_and_stored_with_what_was_measured() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    report = build(store, num_neighbors=1)
    assert (report.spec.view, report.spec.entity, report.spec.event_set) == ("text", "item", None)
    edges = store.read(report.table.table).to_pylist()
    assert [(e["src_id"], e["dst_id"], e["rank"]) for e in edges] == [
        ("a", "b", 0),
        ("b", "a", 0),
        ("c", "d", 0),
        ("d", "c", 0),
    ]
    assert report.quality.recall == 1.0
    assert report.quality.degrees.mutual_share == 1.0
    assert read_quality(store, report.table.table, report.table.version) == report.quality
    assert FeatureRegistry(store).head("graph", "item_text", "text").spec == report.spec


def test_building_again_writes_nothing_and_a_changed_vector_does() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    first = build(store)
    again = build(store)
    assert (first.changed, again.changed, again.table) == (True, False, first.table)
    put_vectors(store, ITEMS | {"b": [0, 0, 1.0, 0.1]})
    third = build(store)
    assert (third.changed, third.table.version) == (True, first.table.version + 1)


def test_pooled_users_are_the_mean_of_their_distinct_training_items_only() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    put_events(
        store,
        [
            ("u1", "a", "train"),
            ("u1", "a", "train"),
            ("u1", "c", "train"),
            ("u2", "a", "train"),
            ("u2", "b", "valid"),
            ("u3", "c", "train"),
            ("u3", "d", "test"),
            ("u4", "unknown", "train"),
        ],
    )
    report = build(store, entity_users="mean_of_train_items", num_neighbors=2)
    assert (report.spec.view, report.spec.entity) == ("text-users", "user")
    assert report.spec.event_set is not None
    assert report.spec.event_set.endswith(":train")
    scores = {(e["src_id"], e["dst_id"]): e["score"] for e in store.read(report.table.table).to_pylist()}
    assert scores.keys() == {
        ("u1", "u2"),
        ("u1", "u3"),
        ("u2", "u1"),
        ("u2", "u3"),
        ("u3", "u1"),
        ("u3", "u2"),
    }
    assert scores["u1", "u2"] == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert scores["u2", "u3"] == pytest.approx(0.0, abs=1e-6)
    assert report.quality.num_without_vector == 1


def test_held_out_events_cannot_change_a_user_graph() -> None:
    """The same training events with other held-out ones give the same edges."""
    edges = []
    for held_out in ("b", "d"):
        store = MemoryStore()
        put_vectors(store, ITEMS)
        train = [("u1", "a"), ("u2", "c"), ("u3", "d"), ("u3", "a")]
        put_events(
            store,
            [(u, i, "train") for u, i in train]
            + [(u, held_out, "test") for u in ("u1", "u2")]
            + [("u1", "c", "valid")],
        )
        report = build(store, entity_users="mean_of_train_items")
        edges.append(store.read(report.table.table))
    assert edges[0].equals(edges[1])


def test_users_whose_items_cancel_out_are_counted_not_placed() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS | {"z": [-1.0, 0, 0, 0]})
    put_events(
        store,
        [(u, i, "train") for u, i in [("u1", "a"), ("u1", "z"), ("u2", "a"), ("u3", "b")]]
        + [("u2", "b", "valid")],
    )
    report = build(store, entity_users="mean_of_train_items")
    assert report.quality.degrees.num_nodes == 2
    assert report.quality.num_without_vector == 1


def test_own_user_vectors_keep_the_event_set_they_were_built_from() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS, entity="user", event_set="abc:train")
    assert build(store).spec.event_set == "abc:train"


def test_pooled_users_name_what_their_items_read_as_well() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS, event_set="abc:train+valid")
    put_events(store, [("u1", "a", "train"), ("u2", "c", "train"), ("u2", "b", "valid")])
    split = current_split(store)
    assert split is not None
    event_set = build(store, entity_users="mean_of_train_items").spec.event_set
    assert set((event_set or "").split(",")) == {"abc:train+valid", split.event_set("train")}


def test_what_cannot_be_built_says_why() -> None:
    store = MemoryStore()
    with pytest.raises(UnknownNameError, match=r"unknown vector feature 'item_text\.text'"):
        build(store)
    put_vectors(store, ITEMS)
    with pytest.raises(StoreError, match="no split of interactions"):
        build(store, entity_users="mean_of_train_items")
    put_events(store, [("u1", "a", "train"), ("u2", "x", "valid"), ("u2", "x", "train")])
    with pytest.raises(InputError, match=r"two nodes at least, item_text\.text gives 1"):
        build(store, entity_users="mean_of_train_items")
    put_vectors(store, ITEMS, entity="user")
    with pytest.raises(UsageError, match=r"pooled from item vectors, but item_text\.text holds user vectors"):
        build(store, entity_users="mean_of_train_items")


def test_recall_counts_the_oracles_edges() -> None:
    class Halved:
        name = "halved"
        search = ExactSearch()

        def build(self, vectors: Any, num_neighbors: int) -> NeighborLists:
            lists = open_builder("exact").build(vectors, num_neighbors)
            lists.neighbors[:, 1] = -1
            return lists

    store = MemoryStore()
    put_vectors(store, ITEMS)
    report = build_graph(
        store, feature="item_text", view="text", entity_users="own", num_neighbors=2, builder=Halved()
    )
    assert report.quality.recall == 0.5


@given(n=st.integers(1, 30), k=st.integers(1, 6), seed=st.integers(0, 2**31))
def test_edges_and_lists_say_the_same(n: int, k: int, seed: int) -> None:
    lists = open_builder("exact").build(np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32), k)
    ids = np.array([f"n{i:02}" for i in range(n)], object)
    edges = edge_table(ids, linked(lists, GraphShape()))
    assert edges.schema.equals(schema.EDGES)
    assert edges.num_rows == n * min(k, n - 1)
    for edge in edges.to_pylist():
        row = int(edge["src_id"][1:])
        assert ids[lists.neighbors[row, edge["rank"]]] == edge["dst_id"] != edge["src_id"]
        assert lists.scores[row, edge["rank"]] == np.float32(edge["score"])


def test_what_was_measured_is_released_with_the_graph() -> None:
    store = MemoryStore()
    add_sources(store)
    add_vectors(store, add_texts(store, {i: f"About {i}." for i in ITEM_IDS}), ITEM_IDS)
    built = build(store)
    publish(store, gates=GatePolicy())
    quality = FeatureStore(store).release().graph_quality("item_text")
    assert quality == built.quality
    assert (quality.recall, quality.degrees.num_nodes) == (1.0, len(ITEM_IDS))


def test_a_graph_that_nobody_measured_says_so() -> None:
    store = MemoryStore()
    fill_store(store)
    publish(store, gates=GatePolicy())
    with pytest.raises(MissingVersionError, match=r"nothing was measured of graph item_text\.text of"):
        FeatureStore(store).release().graph_quality("item_text")

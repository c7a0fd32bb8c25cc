"""Graphs from stored vectors: own nodes, pooled users, what is measured, what is written."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import ITEM_IDS, add_sources, add_texts, add_vectors, fill_store

from featurestore import schema
from featurestore.errors import (
    InputError,
    LockHeldError,
    MissingVersionError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.graph import NeighborLists
from featurestore.graphs import build as graphs_build
from featurestore.graphs import open_builder
from featurestore.graphs.build import GraphReport, build_graph, edge_table, read_quality
from featurestore.graphs.candidate_files import drop_candidates
from featurestore.graphs.choose_search import choose_search
from featurestore.graphs.edges import GraphShape, linked
from featurestore.jobs.lock import FeatureLock
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.spec import EncoderSpec, Entity, ExactSearch, IvfSearch, VectorSpec, table_name
from featurestore.splits import SplitPolicy, assign_parts, current_split, record_split
from featurestore.stores.memory import MemoryStore

ENCODER = EncoderSpec(
    name="hashing", model="hashing", pooling="mean", normalized=True, embedding_dim=4, max_tokens=64
)


def put_vectors(
    store: MemoryStore,
    vectors: dict[str, list[float]],
    *,
    entity: Entity = "item",
    event_set: str | None = None,
) -> None:
    spec = VectorSpec(feature="item_text", view="text", entity=entity, text_digest="0" * 32, encoder=ENCODER)
    rows = [
        {"id": i, "vector": v, "text_digest": i, "event_set": event_set, "run_id": "r"}
        for i, v in vectors.items()
    ]
    store.replace(table_name(spec), pa.Table.from_pylist(rows, schema=schema.vectors(4)))
    FeatureRegistry(store).register(spec)


def put_events(store: MemoryStore, events: list[tuple[str, str, str]]) -> None:
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "part"], orient="row")
    parted = assign_parts(frame, SplitPolicy(method="official"))
    full = parted.with_columns(
        rating=pl.lit(None, pl.Float64), timestamp=pl.lit(None, pl.Int64), review=pl.lit(None, pl.String)
    )
    table = full.select(schema.INTERACTIONS.names).to_arrow().cast(schema.INTERACTIONS)
    version = store.replace("source.interactions", table)
    record_split(store, parted, SplitPolicy(method="official"), interactions_version=version.version)


def build(store: MemoryStore, **changes: Any) -> GraphReport:
    options: dict[str, Any] = {
        "feature": "item_text",
        "view": "text",
        "entity_users": "own",
        "num_neighbors": 2,
        "builder": open_builder("faiss_knn"),
    }
    return build_graph(store, **(options | changes))


ITEMS = {"b": [1.0, 0.1, 0, 0], "a": [1.0, 0, 0, 0], "d": [0, 0, 1.0, 0.2], "c": [0, 0, 1.0, 0]}


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


def spread(store: MemoryStore, rng: np.random.Generator, count: int) -> dict[str, list[float]]:
    vectors = {f"i{number:03}": rng.normal(size=4).tolist() for number in range(count)}
    put_vectors(store, vectors)
    return vectors


def candidate_paths(store: MemoryStore) -> list[str]:
    return [path for path in store.objects.list("graphs/") if path.endswith(".candidates.arrow")]


def test_a_changed_vector_costs_one_product_and_gives_the_graph_built_anew(rng: np.random.Generator) -> None:
    store = MemoryStore()
    vectors = spread(store, rng, 60)
    first = build(store, builder=open_builder(), num_neighbors=3)
    assert first.work is not None
    assert first.work.num_changed == 60
    del vectors["i007"]
    put_vectors(store, vectors | {"i003": [0.1, 0.2, -1.0, 0.4], "new": [1.0, 1.0, 0.0, 0.0]})
    second = build(store, builder=open_builder(), num_neighbors=3)
    assert second.work is not None
    assert (second.work.num_changed, second.work.num_deleted, second.work.num_recomputed) == (2, 1, 0)
    edges = store.read(second.table.table)
    assert not {"i007"} & set(edges["src_id"].to_pylist() + edges["dst_id"].to_pylist())
    assert build(store, builder=open_builder("exact"), num_neighbors=3).changed is False
    assert candidate_paths(store) == [
        f"graphs/{second.table.table}/{second.table.version:06}.candidates.arrow"
    ]


def test_candidates_serve_another_shape_and_damaged_ones_are_made_anew(rng: np.random.Generator) -> None:
    store = MemoryStore()
    spread(store, rng, 40)
    build(store, builder=open_builder())
    binary = build(store, builder=open_builder(), shape=GraphShape(weights="binary", self_loops=True))
    assert binary.work is not None
    assert binary.work.gemm_flops == 0
    assert (binary.spec.weights, binary.spec.self_loops) == ("binary", True)
    assert binary.quality.degrees.num_edges == 80
    assert binary.table.num_rows == 120
    [path] = candidate_paths(store)
    store.objects.delete(path)
    store.objects.put_new(path, b"no Arrow file")
    again = build(store, builder=open_builder())
    assert again.work is not None
    assert again.work.num_changed == 40


def test_forgotten_candidates_are_gone(rng: np.random.Generator) -> None:
    store = MemoryStore()
    spread(store, rng, 10)
    spec = build(store, builder=open_builder()).spec
    assert drop_candidates(store, spec) == 1
    assert candidate_paths(store) == []
    assert drop_candidates(store, spec) == 0


def test_how_neighbours_were_searched_is_part_of_the_spec(rng: np.random.Generator) -> None:
    store = MemoryStore()
    spread(store, rng, 50)
    exact = build(store)
    approximate = build(store, builder=open_builder(search=IvfSearch(num_lists=5, num_probes=5)))
    assert approximate.spec.digest != exact.spec.digest
    assert (approximate.quality.recall, approximate.work) == (1.0, None)


def test_a_search_is_chosen_from_the_nodes_of_the_graph(rng: np.random.Generator) -> None:
    store = MemoryStore()
    spread(store, rng, 200)
    choice = choose_search(
        store, feature="item_text", view="text", entity_users="own", num_neighbors=3, min_recall=1.0
    )
    assert choice.chosen in choice.estimates
    assert choice.chosen.recall == 1.0
    assert build(store, builder=choice.builder()).quality.recall == 1.0


def test_a_graph_is_written_under_the_lock_of_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever compacts, drops or redacts tables takes this lock; a built graph must not come in between."""
    store = MemoryStore()
    put_vectors(store, ITEMS)
    spec = build(store).spec
    with FeatureLock(store.objects, table_name(spec)), pytest.raises(LockHeldError, match="another job"):
        build(store)
    nodes = graphs_build.graph_nodes

    def vectors_are_written_meanwhile(*arguments: Any) -> Any:
        found = nodes(*arguments)
        put_vectors(store, dict(list(ITEMS.items())[:3]))
        return found

    monkeypatch.setattr(graphs_build, "graph_nodes", vectors_are_written_meanwhile)
    before = store.latest(table_name(spec))
    with pytest.raises(LockHeldError, match=r"item_text\.text, or the events, were written while"):
        build(store)
    assert store.latest(table_name(spec)) == before


def test_more_neighbors_than_nodes_are_measured_in_little_memory() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    report = build(store, num_neighbors=200_000, builder=open_builder())
    assert (report.quality.recall, report.quality.degrees.num_nodes) == (1.0, len(ITEMS))

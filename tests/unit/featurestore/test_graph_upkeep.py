"""What a graph keeps for its next build, how its search is chosen, and who may write it."""

from typing import Any

import numpy as np
import pytest
from graph_world import ITEMS, build, put_vectors

from featurestore.errors import (
    LockHeldError,
)
from featurestore.graphs import build as graphs_build
from featurestore.graphs import open_builder
from featurestore.graphs.candidate_files import drop_candidates
from featurestore.graphs.choose_search import choose_search
from featurestore.graphs.edges import GraphShape
from featurestore.jobs.lock import FeatureLock
from featurestore.spec import IvfSearch, table_name
from featurestore.stores.memory import MemoryStore


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

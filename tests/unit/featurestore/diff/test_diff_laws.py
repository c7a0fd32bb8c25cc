"""Differences of graphs and semantic ids against sets and dictionaries, for whatever tables there are."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from featurestore.diff.codes import diff_codes
from featurestore.diff.graphs import diff_graphs
from featurestore.release import TablePin
from featurestore.schema import CODES, EDGES
from featurestore.spec import CodesSpec, GraphSpec, table_name
from featurestore.stores.memory import MemoryStore

GRAPH = GraphSpec(
    feature="item_text", view="text", entity="item", vector_digest="0" * 32, pooling="own", num_neighbors=3
)
CODED = CodesSpec(
    feature="item_text",
    view="text",
    entity="item",
    vector_digest="0" * 32,
    codebook="0" * 32,
    num_levels=2,
    codebook_size=4,
    beam_size=1,
)
NODES = st.sampled_from("abcdef")
NEIGHBORS = st.dictionaries(NODES, st.lists(NODES, min_size=1, max_size=3, unique=True), max_size=6)
SEMANTIC_IDS = st.dictionaries(NODES, st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=6)


def _pins(spec: GraphSpec | CodesSpec, *versions: pa.Table) -> tuple[MemoryStore, TablePin, TablePin]:
    store = MemoryStore()
    numbers = [store.replace(table_name(spec), rows).version for rows in versions]
    pins = [TablePin(spec=spec, table=table_name(spec), version=v, num_rows=0, checksum="") for v in numbers]
    return store, pins[0], pins[1]


def _edges(neighbors: dict[str, list[str]]) -> pa.Table:
    rows = [
        {"src_id": node, "dst_id": other, "rank": rank, "score": 1.0}
        for node, others in neighbors.items()
        for rank, other in enumerate(others)
    ]
    return pa.Table.from_pylist(rows, schema=EDGES)


@given(old=NEIGHBORS, new=NEIGHBORS, moved=st.lists(NODES, unique=True))
def test_neighbours_gained_and_lost(
    old: dict[str, list[str]], new: dict[str, list[str]], moved: list[str]
) -> None:
    store, before, after = _pins(GRAPH, _edges(old), _edges(new))
    found = diff_graphs(store, before, after, moved=dict.fromkeys(moved, 0.5), limit=10)
    both = old.keys() & new.keys()
    had, has = ({node: set(of[node]) - {node} for node in of} for of in (old, new))
    changed = {node for node in both if had[node] != has[node]}
    assert (found.num_nodes, found.num_changed) == (len(both), len(changed))
    assert (found.num_added, found.num_removed) == (len(new.keys() - both), len(old.keys() - both))
    num_old = sum(len(had[node]) for node in both)
    num_kept = sum(len(had[node] & has[node]) for node in both)
    assert found.kept_share == (1 - (num_old - num_kept) / num_old if num_old else None)
    shown = [example.id for example in found.examples]
    assert shown == [node for node in moved if node in both] if moved else set(shown) == changed
    for example in found.examples:
        was, now = old[example.id], new[example.id]
        others = set("abcdef") - {example.id}
        assert example.lost == tuple(node for node in was if node not in now and node in others)
        assert example.gained == tuple(node for node in now if node not in was and node in others)
        assert example.num_kept == len(set(was) & set(now) & others)


@given(old=SEMANTIC_IDS, new=SEMANTIC_IDS)
def test_semantic_ids_that_moved(old: dict[str, tuple[int, ...]], new: dict[str, tuple[int, ...]]) -> None:
    def rows(ids: dict[str, tuple[int, ...]]) -> pa.Table:
        fixed = {"text_digest": "d", "run_id": "run"}
        return pa.Table.from_pylist(
            [{"id": i, "codes": places[:-1], "collision": places[-1], **fixed} for i, places in ids.items()],
            schema=CODES,
        )

    store, before, after = _pins(CODED, rows(old), rows(new))
    found = diff_codes(store, before, after, limit=10)
    both = old.keys() & new.keys()
    first = {
        entity: next((place for place in range(3) if old[entity][place] != new[entity][place]), None)
        for entity in both
    }
    moved = {entity: place for entity, place in first.items() if place is not None}
    assert (found.num_equal, found.num_moved) == (len(both) - len(moved), len(moved))
    assert (found.num_added, found.num_removed) == (len(new.keys() - both), len(old.keys() - both))
    levels = tuple(list(moved.values()).count(place) for place in range(3))
    assert found.moved_by_level == (levels if moved else ())
    assert [e.id for e in found.examples] == sorted(moved, key=lambda entity: (moved[entity], entity))
    assert all((e.before, e.after) == (old[e.id], new[e.id]) for e in found.examples)

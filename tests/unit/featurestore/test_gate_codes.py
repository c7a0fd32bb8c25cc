"""Gates of semantic ids and graphs over a catalogue of 400 items."""

import pyarrow as pa
import pytest
from gate_world import ITEMS, TEXT, encode, fill, good_texts, link, write_texts

from featurestore import columns as c
from featurestore.codes.build import build_codes
from featurestore.codes.generations import SemanticIdOptions
from featurestore.errors import GateFailedError
from featurestore.features import FeatureRegistry
from featurestore.gate_result import GateResult
from featurestore.gates.policy import GatePolicy
from featurestore.graphs.build import build_graph
from featurestore.graphs.exact import ExactGraphBuilder
from featurestore.releases.publish import publish
from featurestore.schema import CODES
from featurestore.spec import table_name
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy()
OPTIONS = SemanticIdOptions(num_levels=3, codebook_size=16)


@pytest.fixture
def store() -> Store:
    """A release of texts, vectors, graph and semantic ids."""
    filled = MemoryStore()
    fill(filled)
    code(filled)
    publish(filled, gates=POLICY)
    return filled


def code(store: Store, **options: str) -> None:
    build_codes(store, feature=TEXT.feature, view=TEXT.view, options=OPTIONS, **options)


def of_kind(store: Store, kind: str, **options: list[str]) -> dict[str, GateResult]:
    gates = publish(store, gates=POLICY, **options).manifest.gates
    return {gate.gate: gate for gate in gates if gate.feature == f"{kind} item_cot.fused"}


def codes_table(store: Store) -> str:
    return table_name(FeatureRegistry(store).head("codes", TEXT.feature, TEXT.view).spec)


def refusal(store: Store) -> str:
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=POLICY)
    return caught.value.message


def rewrite(store: Store, changes: dict[str, str]) -> None:
    write_texts(store, changes)
    encode(store, changes)
    link(store)
    code(store)


def test_an_honest_change_of_one_percent_passes(store):
    rewrite(store, {i: good_texts(seed=9)[i] for i in ITEMS[:4]})
    said = of_kind(store, "codes")
    assert 0 < said["code_churn"].value <= 0.01
    assert (said["unexplained_moves"].value, said["unique_codes"].value) == (0, 0)
    assert said["code_collisions"].passed


def test_codes_that_moved_although_nothing_changed_are_refused(store):
    table = codes_table(store)
    rows = store.read(table).to_pylist()
    for row in rows[:2]:
        row[c.CODES] = [(code + 1) % 16 for code in row[c.CODES]]
        row[c.COLLISION] = 7
    store.upsert(table, pa.Table.from_pylist(rows[:2], schema=CODES), key=c.ID)
    (line,) = refusal(store).splitlines()[1:]
    assert "unexplained_moves of codes item_cot.fused" in line
    assert "is 0.005; at most 0 is allowed" in line
    assert all(row[c.ID] in line for row in rows[:2])


def test_new_codebooks_are_refused_until_a_person_accepts_their_churn(store):
    rewrite(store, {i: good_texts(seed=5)[i] for i in ITEMS[:40]})
    code(store, codebook="new")
    line = next(line for line in refusal(store).splitlines() if "code_churn" in line)
    assert "share of items whose codes differ from the parent's is 0." in line
    assert "(the codebooks, or the beam, are not the parent's)" in line
    accepted = of_kind(store, "codes", accepted_gates=["code_churn"])
    assert accepted["code_churn"].accepted
    assert "unexplained_moves" not in accepted, "new codebooks are a reason to move"


def test_two_items_of_one_semantic_id_are_refused(store):
    table = codes_table(store)
    first, second = store.read(table).slice(0, 2).to_pylist()
    second[c.CODES], second[c.COLLISION] = first[c.CODES], first[c.COLLISION]
    store.upsert(table, pa.Table.from_pylist([second], schema=CODES), key=c.ID)
    message = refusal(store)
    assert "unique_codes of codes item_cot.fused" in message
    assert f"Rows: {', '.join(sorted([first[c.ID], second[c.ID]]))}" in message


def test_codes_that_hardly_tell_items_apart_are_refused():
    store = MemoryStore()
    fill(store)
    options = SemanticIdOptions(num_levels=1, codebook_size=4)
    build_codes(store, feature=TEXT.feature, view=TEXT.view, options=options)
    message = refusal(store)
    assert "share of items that share all codes with another one is 1; at most 0.5 is allowed" in message


def test_the_shape_of_a_graph_is_measured(store):
    rewrite(store, {ITEMS[0]: good_texts(seed=9)[ITEMS[0]]})
    said = of_kind(store, "graph")
    assert (said["isolated_nodes"].value, said["connected_share"].value) == (0.0, 1.0)
    assert 0 < said["knn_churn"].value < 0.02


def test_a_graph_in_pieces_is_refused():
    store = MemoryStore()
    texts = fill(store)
    clusters = {i: f"topic{n % 40} only{n % 40}" for n, i in enumerate(ITEMS)}
    assert len(texts) == len(clusters)
    write_texts(store, clusters)
    encode(store, clusters)
    link(store, num_neighbors=3)
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=GatePolicy(max_duplicate_text_share=1.0))
    (line,) = caught.value.message.splitlines()[1:]
    assert (
        "connected_share of graph item_cot.fused: share of nodes in the largest connected component" in line
    )
    assert "at least 0.5 is needed. Rows: i0" in line


def test_a_new_graph_of_other_k_is_compared_with_the_old_one(store):
    link(store, num_neighbors=5)
    with pytest.raises(GateFailedError, match=r"knn_churn of graph .* is 0\.5; at most 0\.3"):
        publish(store, gates=POLICY)


def test_a_graph_that_was_not_built_again_is_refused(store):
    changes = {i: good_texts(seed=9)[i] for i in ITEMS[:4]}
    write_texts(store, changes)
    encode(store, changes)
    code(store)
    (line,) = refusal(store).splitlines()[1:]
    assert "stale_edges of graph item_cot.fused: share of edges whose weight is not the similarity" in line
    assert "at most 0 is allowed (4,000 edges). Rows: i" in line
    link(store)
    assert of_kind(store, "graph")["stale_edges"].value == 0


def link_users(store: Store) -> None:
    build_graph(
        store,
        feature=TEXT.feature,
        view=TEXT.view,
        entity_users="mean_of_train_items",
        num_neighbors=5,
        builder=ExactGraphBuilder(),
    )


def test_users_by_their_items_are_stale_when_an_item_moves(store):
    link_users(store)
    gates = publish(store, gates=POLICY).manifest.gates
    (fresh,) = [g for g in gates if g.gate == "stale_edges" and g.feature.endswith("-users")]
    assert (fresh.value, fresh.note) == (0.0, "600 edges")
    changes = {ITEMS[399]: good_texts(seed=9)[ITEMS[399]]}
    rewrite(store, changes)
    (line,) = refusal(store).splitlines()[1:]
    assert "stale_edges of graph item_cot.fused-users" in line
    link_users(store)
    publish(store, gates=POLICY)


def test_an_edge_to_nobody_is_stale(store):
    store.delete("source.items", [ITEMS[7]], key=c.ITEM_ID)
    for table in (table_name(TEXT), codes_table(store)):
        store.delete(table, [ITEMS[7]], key=c.ID)
    vectors = FeatureRegistry(store).head("vector", TEXT.feature, TEXT.view).spec
    store.delete(table_name(vectors), [ITEMS[7]], key=c.ID)
    (line,) = refusal(store).splitlines()[1:]
    assert "stale_edges of graph" in line
    assert ITEMS[7] in line.partition("Rows: ")[2]

"""What differs between two releases, against what was changed between them."""

import json

import pyarrow as pa
import pytest
from diff_samples import TEXTS, connect_nodes, first_release, head, put_codes, release, turn
from store_samples import ENCODER, ITEM_IDS, add_texts, add_vectors

from featurestore.diff.releases import diff_releases
from featurestore.diff.result import CodeMove, NeighborChange, ReleaseDiff
from featurestore.errors import MissingVersionError, UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.gate_result import GateResult
from featurestore.schema import EDGES
from featurestore.spec import GraphSpec, table_name
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore


@pytest.fixture
def store() -> Store:
    """Release 1."""
    return first_release(MemoryStore())


def counts(found: ReleaseDiff) -> dict[str, str]:
    return {f"{row.kind} {row.name}": row.change for row in found.counts}


def test_a_release_does_not_differ_from_itself(store):
    found = diff_releases(store, "1", "1")
    assert set(counts(found).values()) == {"same"}
    assert (found.texts, found.vectors, found.graphs, found.codes, found.titles) == ((), (), (), (), {})
    assert found.before == found.after


def test_texts_least_similar_first(store):
    changed = {"i0": "A fine text about i0.", "i3": "Other words.", "i5": "Now it has one.", "i1": None}
    add_texts(store, changed)
    release(store)
    (texts,) = diff_releases(store, "1", "2").texts
    assert (texts.name, texts.entity) == ("item_text.text", "item")
    assert (texts.num_equal, texts.num_changed, texts.num_added, texts.num_removed) == (2, 2, 1, 1)
    assert [(t.id, t.before, t.after) for t in texts.examples] == [
        ("i3", TEXTS["i3"], "Other words."),
        ("i0", TEXTS["i0"], "A fine text about i0."),
    ]
    assert [t.similarity for t in texts.examples] == [0.0, pytest.approx(0.8)]
    assert (texts.num_sampled, texts.mean_similarity) == (2, pytest.approx(0.4))


def test_many_rewritten_texts_are_sampled(store):
    ids = [f"n{number:04d}" for number in range(300)]
    add_texts(store, dict.fromkeys(ids, "before the change"))
    release(store)
    add_texts(store, dict.fromkeys(ids, "after the change"))
    release(store)
    (texts,) = diff_releases(store, "2", "3", limit=7).texts
    assert (texts.num_changed, texts.num_sampled, len(texts.examples)) == (300, 200, 7)
    assert texts == diff_releases(store, "2", "3", limit=7).texts[0]


def test_vectors_farthest_first(store):
    turn(store, {"i0": [0.0, 1.0, 0.0, 0.0], "i1": [1.0, 1.0, 0.0, 0.0], "i5": [1.0, 0.0, 0.0, 0.0]})
    store.delete(table_name(head(store, "vector")), ["i4"], key="id")
    release(store)
    (vectors,) = diff_releases(store, "1", "2").vectors
    assert (vectors.num_equal, vectors.num_moved, vectors.num_added, vectors.num_removed) == (2, 2, 1, 1)
    assert [(move.id, move.distance) for move in vectors.moves] == [
        ("i0", pytest.approx(1.0)),
        ("i1", pytest.approx(1 - 2**-0.5)),
    ]
    assert vectors.median_distance == pytest.approx((2 - 2**-0.5) / 2)
    assert vectors.incomparable == ""


def test_vectors_of_another_encoder_are_not_compared(store):
    text = head(store, "text")
    add_vectors(store, text, ITEM_IDS[:5], encoder=ENCODER.model_copy(update={"pooling": "mean"}))
    release(store)
    found = diff_releases(store, "1", "2")
    (vectors,) = found.vectors
    assert (vectors.num_moved, vectors.moves, vectors.median_distance) == (5, (), None)
    assert "lie in different spaces: pooling 'sum' and 'mean'" in vectors.incomparable
    assert counts(found)["vector item_text.text"] == "spec"


def test_neighbours_of_those_that_moved_most(store):
    turn(store, {"i1": [1.0, 0.1, 0.0, 0.0], "i3": [0.0, 0.0, 0.1, 1.0]})
    connect_nodes(store, {"i0": ["i2", "i1"], "i1": ["i3", "i0"], "i2": ["i0", "i1"], "i5": ["i0"]})
    release(store)
    found = diff_releases(store, "1", "2")
    (graph,) = found.graphs
    assert (graph.num_nodes, graph.num_added, graph.num_removed, graph.num_changed) == (3, 1, 1, 1)
    assert graph.kept_share == pytest.approx(5 / 6)
    moved = found.vectors[0].moves
    assert [move.id for move in moved] == ["i1", "i3"]
    assert graph.examples == (NeighborChange("i1", moved[0].distance, 1, lost=("i2",), gained=("i3",)),)
    assert found.titles == {i: f"Title {i}" for i in ("i1", "i2", "i3")}


def test_without_vectors_neighbours_of_those_that_changed_most(store):
    connect_nodes(store, {"i0": ["i3", "i4"], "i1": ["i0", "i3"], "i2": ["i0", "i1"], "i3": ["i0"]})
    release(store)
    (graph,) = diff_releases(store, "1", "2", limit=2).graphs
    assert [(e.id, e.distance, e.num_kept, e.lost, e.gained) for e in graph.examples] == [
        ("i0", None, 0, ("i1", "i2"), ("i3", "i4")),
        ("i1", None, 1, ("i2",), ("i3",)),
    ]


def test_graphs_of_users_are_not_ordered_by_item_vectors(store):
    vectors = head(store, "vector")
    graph = GraphSpec(
        feature="item_text",
        view="text-users",
        entity="user",
        vector_digest=vectors.digest,
        pooling="mean_of_train_items",
        num_neighbors=1,
    )
    for version in (["u1"], ["u2"]):
        edges = [{"src_id": "u0", "dst_id": other, "rank": 0, "score": 1.0} for other in version]
        store.replace(table_name(graph), pa.Table.from_pylist(edges, schema=EDGES))
        FeatureRegistry(store).register(graph)
        turn(store, {"i0": [1.0, float(len(store.objects.list("releases/"))), 0.0, 0.0]})
        release(store)
    found = diff_releases(store, "2", "3")
    (users,) = found.graphs
    assert users.examples == (NeighborChange("u0", None, 0, lost=("u1",), gained=("u2",)),)
    assert found.title("user", "i0") == ""
    assert found.title("item", "i0") == "Title i0"


def test_semantic_ids_by_the_first_level_that_differs(store):
    put_codes(store, {"i0": (1, 2, 0), "i1": (1, 2, 1), "i2": (3, 4, 0), "i3": (5, 5, 0), "i4": (6, 6, 0)})
    release(store)
    put_codes(store, {"i0": (1, 2, 0), "i1": (1, 2, 3), "i2": (7, 4, 0), "i3": (5, 6, 0), "i5": (0, 0, 0)})
    release(store)
    (codes,) = diff_releases(store, "2", "3").codes
    assert (codes.num_equal, codes.num_moved, codes.num_added, codes.num_removed) == (1, 3, 1, 1)
    assert codes.same_codebook
    assert codes.moved_by_level == (1, 1, 1)
    assert codes.examples == (
        CodeMove("i2", (3, 4, 0), (7, 4, 0)),
        CodeMove("i3", (5, 5, 0), (5, 6, 0)),
        CodeMove("i1", (1, 2, 1), (1, 2, 3)),
    )


def test_semantic_ids_of_another_codebook_say_so(store):
    put_codes(store, {"i0": (1, 2, 0), "i1": (1, 2, 1)})
    release(store)
    put_codes(store, {"i0": (1, 2, 4, 0), "i1": (1, 2, 4, 1)}, "b")
    release(store)
    (codes,) = diff_releases(store, "2", "3").codes
    assert (codes.same_codebook, codes.num_moved, codes.moved_by_level) == (False, 2, ())
    assert codes.examples[0] == CodeMove("i0", (1, 2, 0), (1, 2, 4, 0))


def test_gates_with_their_deltas(store):
    def gate(name: str, value: float, stratum: str = "") -> GateResult:
        return GateResult(
            gate=name, feature="text item_text.text", value=value, threshold=0.2, passed=True, stratum=stratum
        )

    release(store, gate("failure_rate", 0.10), gate("coverage", 0.5, "cold"))
    release(store, gate("failure_rate", 0.15), gate("coverage", 0.5, "warm"))
    found = diff_releases(store, "2", "3").gates
    assert [(g.gate, g.stratum, g.before, g.after, g.delta) for g in found] == [
        ("coverage", "cold", 0.5, None, None),
        ("coverage", "warm", None, 0.5, None),
        ("failure_rate", "", 0.10, 0.15, pytest.approx(0.05)),
    ]


def test_tables_that_come_and_go(store):
    add_texts(store, {"i0": "x"}, feature="brief")
    store.delete("source.users", ["u0"], key="user_id")
    release(store)
    found = diff_releases(store, "1", "2")
    changed = {name: change for name, change in counts(found).items() if change != "same"}
    assert changed == {"text brief.text": "added", "source users.rows": "rows"}
    assert counts(diff_releases(store, "2", "1"))["text brief.text"] == "removed"
    (users,) = (row for row in found.counts if row.name == "users.rows")
    assert (users.rows_before, users.rows_after) == (4, 3)


def test_only_named_features(store):
    add_texts(store, {"i0": "Other words."})
    add_texts(store, {"u0": "Other words."}, feature="user_cot", view="fused", entity="user")
    release(store)
    found = diff_releases(store, "1", "2", features=["user_cot.fused"])
    assert {row.name for row in found.counts} == {"user_cot.fused"}
    assert [texts.name for texts in found.texts] == ["user_cot.fused"]
    assert found.texts[0].entity == "user"
    with pytest.raises(UnknownNameError, match=r"unknown feature 'user_cott'\. Did you mean 'user_cot'\?"):
        diff_releases(store, "1", "2", features=["user_cott"])


def test_unknown_releases_are_named(store):
    with pytest.raises(MissingVersionError, match="the store has no release or alias '9'"):
        diff_releases(store, "1", "9")


def test_json_holds_the_figures_and_not_the_samples(store):
    add_texts(store, {"i0": "Other words."})
    turn(store, {"i0": [0.0, 1.0, 0.0, 0.0]})
    release(store)
    data = json.loads(json.dumps(diff_releases(store, "1", "2").as_dict()))
    assert data["texts"][0]["examples"][0]["after"] == "Other words."
    assert data["vectors"][0]["moves"] == [{"id": "i0", "distance": pytest.approx(1.0)}]
    assert not {"lengths", "distances"} & (data["texts"][0].keys() | data["vectors"][0].keys())

"""A feature whose new version is unfinished stays, in the release, at its last complete one."""

import pyarrow as pa
import pytest
from store_samples import ENCODER, ITEM_IDS, add_graph, add_sources, add_texts, add_vectors

from featurestore.errors import GateFailedError
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.release import ReleaseCatalog, TablePin
from featurestore.releases.chosen_versions import choose_versions
from featurestore.releases.publish import PublishReport, publish
from featurestore.schema import ITEMS
from featurestore.spec import RecommendationsSpec
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy(max_lost_texts=1.0)


def texts(wording: str, count: int) -> dict[str, str | None]:
    return {i: f"Text {wording} about {i}." for i in ITEM_IDS[:count]}


def add_everything(store: Store, wording: str, count: int) -> None:
    """Two views of texts, vectors of one of them, and a graph."""
    add_texts(store, texts(f"forward {wording}", count), view="forward", wording=wording)
    fused = add_texts(store, texts(f"fused {wording}", count), view="fused", wording=wording)
    vectors = add_vectors(store, fused, ITEM_IDS[:count])
    add_graph(store, vectors, ITEM_IDS[:count])


def pins(report: PublishReport) -> dict[str, TablePin]:
    return {f"{p.spec.kind} {p.spec.view}": p for p in report.manifest.pins if p.spec.kind != "source"}


@pytest.fixture
def store() -> Store:
    """A store whose first release has complete texts, vectors and a graph."""
    store = MemoryStore()
    add_sources(store)
    add_everything(store, "a", 6)
    publish(store, gates=POLICY)
    return store


def test_what_hangs_on_a_carried_text_is_carried(store):
    first = pins(publish(store, gates=POLICY))
    add_everything(store, "b", 4)
    report = publish(store, gates=POLICY)
    assert len(report.carried) == 4
    assert not report.created, "the newest release holds exactly this"
    add_texts(store, texts("other", 6), feature="other")
    report = publish(store, gates=POLICY)
    second = pins(report)
    assert report.manifest.number == 2
    for name in ("text forward", "text fused", "vector fused", "graph fused"):
        assert second[name].spec == first[name].spec
        assert second[name].version == first[name].version
        assert second[name].carried_from == 1
    assert second["text text"].carried_from is None
    said = {(each.kind, each.name): each for each in report.carried}
    assert said["text", "item_text.fused"].successor_rows == 4
    assert {each.release for each in report.carried} == {1}
    assert {each.num_rows for each in report.carried} == {6, 12}


def test_a_carried_feature_remembers_where_it_came_from(store):
    add_everything(store, "b", 4)
    for wording in ("x", "y"):
        add_texts(store, texts(wording, 6), feature="other", wording=wording)
        report = publish(store, gates=POLICY)
    assert report.manifest.number == 3
    assert pins(report)["graph fused"].carried_from == 1


def test_a_finished_successor_takes_the_place(store):
    add_everything(store, "b", 4)
    publish(store, gates=POLICY)
    add_everything(store, "b", 6)
    report = publish(store, gates=GatePolicy(min_compared=1000))
    assert report.carried == ()
    assert {pin.carried_from for pin in report.manifest.pins} == {None}
    assert pins(report)["text fused"].spec.model_dump()["template_digest"] == "b" * 32


def test_one_unfinished_view_keeps_the_feature_together(store):
    add_texts(store, texts("forward b", 6), view="forward", wording="b")
    add_texts(store, texts("fused b", 2), view="fused", wording="b")
    add_texts(store, texts("new", 2), view="new", wording="b")
    add_texts(store, texts("other", 6), feature="other")
    report = publish(store, gates=POLICY)
    assert {each.name for each in report.carried if each.kind == "text"} == {
        "item_text.forward",
        "item_text.fused",
    }
    assert pins(report)["text new"].carried_from is None, "no release had it, so nothing is to be kept"


def test_vectors_that_were_not_made_again_yet_stay_heads(store):
    """The head of the vectors is still that of the carried text."""
    add_texts(store, texts("fused b", 2), view="fused", wording="b")
    report = publish(store, gates=POLICY)
    assert [(each.kind, each.name) for each in report.carried] == [("text", "item_text.fused")]
    assert (report.created, len(pins(report))) == (False, 4)


def test_new_rows_of_the_same_spec_are_released(store):
    """Unfinished is a successor, not a feature to which new items came."""
    add_texts(store, {"i0": "Changed."}, view="fused", wording="a")
    text = add_texts(store, {"i0": "Changed."}, view="fused", wording="a")
    add_vectors(store, text, ["i0"], seed=3)
    assert publish(store, gates=POLICY).carried == ()


def test_an_incomplete_version_is_not_carried():
    store = MemoryStore()
    add_sources(store)
    add_texts(store, texts("a", 3), wording="a")
    publish(store, gates=POLICY)
    add_texts(store, texts("b", 2), wording="b")
    report = publish(store, gates=POLICY)
    assert report.carried == ()
    assert pins(report)["text text"].num_rows == 2


def test_carrying_can_be_refused(store):
    add_everything(store, "b", 4)
    report = publish(store, gates=GatePolicy(max_lost_texts=1.0, min_compared=1000), carry=False)
    assert report.carried == ()
    assert pins(report)["text fused"].num_rows == 4


def test_gates_judge_what_is_carried_too(store):
    add_texts(store, texts("fused b", 2), view="fused", wording="b")
    add_sources(store, shift=1)
    with pytest.raises(GateFailedError):
        publish(store, gates=GatePolicy(min_coverage=1.0, max_failure_rate=0.0), carry=False)


def test_recommendations_of_a_release_that_is_gone_stay_behind(store):
    spec = RecommendationsSpec(
        feature="m", view="lists", entity="user", model="m", config_digest="0", release="1", top_k=2
    )
    FeatureRegistry(store).register(spec)
    catalog = ReleaseCatalog(store)
    parent = catalog.newest()
    assert parent is not None

    def left_out() -> tuple[str, ...]:
        chosen = choose_versions(store, parent=parent, split=parent.split, features=["m"], carry=True)
        return chosen.left_out

    assert left_out() == ()
    add_texts(store, texts("other", 6), feature="other")
    publish(store, gates=POLICY, features=["other"])
    catalog.remove(1)
    assert left_out() == ("m.lists",), "nobody knows any more which split it learned from"


def test_another_encoder_of_a_carried_text_is_a_head(store):
    fused = add_texts(store, texts("fused a", 6), view="fused", wording="a")
    add_texts(store, texts("fused b", 2), view="fused", wording="b")
    add_vectors(store, fused, ITEM_IDS, encoder=ENCODER.model_copy(update={"model": "hashing-4b"}))
    with pytest.raises(GateFailedError, match=r"lineage of graph item_text\.fused"):
        publish(store, gates=POLICY)


def test_gates_read_a_carried_version_where_the_parent_has_it(store):
    """After an erasure the rows of an earlier release lie in a table beside the feature's own."""
    catalog = ReleaseCatalog(store)
    first = catalog.manifest(1)
    moved = {pin.table: store.replace(f"past.{pin.table}", store.read(pin.table)) for pin in first.pins[5:]}
    redacted = tuple(
        pin.model_copy(update={"table": place.table, "version": place.version})
        if (place := moved.get(pin.table))
        else pin
        for pin in first.pins
    )
    assert len(moved) == 4
    assert catalog.add(first.model_copy(update={"number": 2, "pins": redacted}))
    for table in moved:
        store.drop(table)
    add_everything(store, "b", 4)
    new = pa.table({name: ["i9"] if name == "item_id" else [None] for name in ITEMS.names}, schema=ITEMS)
    store.upsert("source.items", new, key="item_id")
    report = publish(store, gates=POLICY)
    assert report.manifest.number == 3
    carried = pins(report)
    assert {pin.table for name, pin in carried.items() if pin.carried_from} == {
        place.table for place in moved.values()
    }
    found = [each for each in report.manifest.gates if (each.gate, each.stratum) == ("coverage", "")]
    assert [each.value for each in found] == pytest.approx([6 / 7] * 2), "six texts, of seven items today"

import json

import pytest
from store_samples import (
    ITEM_IDS,
    add_recommendations,
    add_sources,
    add_texts,
    add_vectors,
    fill_store,
)

from featurestore.errors import (
    GateFailedError,
    InputError,
    NewerStoreError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from featurestore.gates.policy import GatePolicy
from featurestore.gates.rules import GATES
from featurestore.reader import FeatureStore
from featurestore.release import Manifest, ReleaseCatalog
from featurestore.releases.publish import publish
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy()


@pytest.fixture(params=["memory", "lance"])
def store(request, tmp_path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


def test_a_release_pins_every_table_and_says_what_the_gates_said(store):
    split = fill_store(store)
    seen: list[tuple[int, int, str]] = []
    report = publish(
        store, gates=POLICY, progress=lambda done, total, note="": seen.append((done, total, note))
    )
    assert (report.created, report.moved, report.alias, report.manifest.number) == (
        True,
        True,
        "production",
        1,
    )
    assert report.manifest.split == split
    assert report.manifest.parent is None
    tables = {pin.table for pin in report.manifest.pins}
    assert tables == set(store.tables())
    assert seen[-1][:2] == (len(tables), len(tables))
    pins = {(pin.spec.kind, pin.name): pin for pin in report.manifest.pins}
    assert (pins["text", "item_text.text"].num_rows, pins["text", "item_text.text"].num_failed) == (6, 1)
    assert pins["text", "user_cot.fused"].event_sets == (split.event_set(),)
    (fragment,) = pins["vector", "item_text.text"].fragments
    assert pins["vector", "item_text.text"].snapshot == f"snapshots/{fragment.vectors}"
    for pin in pins.values():
        sums = sum(int(fragment.checksum, 16) for fragment in pin.fragments)
        assert int(pin.checksum, 16) == sums % 2**128
    assert all(gate.passed for gate in report.manifest.gates)
    said = {(gate.gate, gate.feature): gate.value for gate in report.manifest.gates if not gate.stratum}
    assert said["coverage", "text item_text.text"] == pytest.approx(5 / 6)
    assert said["failure_rate", "text item_text.text"] == pytest.approx(1 / 6)
    assert {gate for gate, _ in said} <= set(GATES)


def test_a_manifest_survives_its_json(store):
    fill_store(store)
    manifest = publish(store, gates=POLICY).manifest
    raw = store.objects.read("releases/000001.json")
    assert Manifest.model_validate_json(raw) == manifest
    assert json.loads(raw)["format_version"] == 2
    assert [pin.spec.digest for pin in Manifest.model_validate_json(raw).pins] == [
        pin.spec.digest for pin in manifest.pins
    ]


def test_nothing_new_makes_no_new_release(store):
    fill_store(store)
    first = publish(store, gates=POLICY, alias=None)
    assert (first.created, first.moved) == (True, False)
    assert ReleaseCatalog(store).aliases() == {}
    again = publish(store, gates=POLICY)
    assert (again.created, again.moved, again.manifest.number) == (False, True, 1)
    assert not publish(store, gates=POLICY).moved
    add_texts(store, {"i5": "Now it has one."})
    third = publish(store, gates=POLICY, alias="canary")
    assert (third.manifest.number, third.manifest.parent) == (2, 1)
    assert ReleaseCatalog(store).aliases() == {"canary": 2, "production": 1}


def test_unchanged_tables_are_not_read_again(store, monkeypatch):
    fill_store(store)
    first = publish(store, gates=POLICY).manifest
    add_texts(store, {"i5": "Now it has one."})
    read: dict[str, list[str] | None] = {}
    original = type(store).read

    def spy(self, table, **options):
        read[table] = options.get("columns")
        return original(self, table, **options)

    monkeypatch.setattr(type(store), "read", spy)
    second = publish(store, gates=POLICY).manifest
    (changed,) = {pin.table for pin in second.pins if pin not in first.pins}
    (vectors,) = {pin.table for pin in second.pins if pin.table.startswith("vector.item_text.")}
    del read[changed]
    assert read == {
        vectors: ["id", "text_digest"],
        "source.items": ["item_id"],
        "source.interactions": ["item_id", "user_id", "part"],
    }, "what its vectors were made of, and who there is to be covered"


def test_equal_vectors_share_a_snapshot_whatever_their_history(store):
    text = add_texts(store, dict.fromkeys(ITEM_IDS, "t"), view="a")
    other = add_texts(store, dict.fromkeys(ITEM_IDS, "t"), view="b")
    add_vectors(store, text, ITEM_IDS)
    spec = add_vectors(store, other, ITEM_IDS[:1], seed=5)
    add_vectors(store, other, ITEM_IDS)
    assert spec.view == "b"
    pins = {p.name: p for p in publish(store, gates=GatePolicy(max_duplicate_text_share=1)).manifest.pins}
    assert pins["item_text.a"].num_rows == pins["item_text.b"].num_rows == 6
    vectors = [
        p for p in publish(store, gates=GatePolicy(max_duplicate_text_share=1)).manifest.pins if p.snapshot
    ]
    assert vectors[0].snapshot == vectors[1].snapshot
    assert len(store.objects.list("snapshots/")) == 2


def test_some_features_only(store):
    fill_store(store)
    report = publish(store, gates=POLICY, features=["item_text", "user_cot.fused"])
    names = {pin.name for pin in report.manifest.pins if pin.spec.kind != "source"}
    assert names == {"item_text.text", "user_cot.fused"}
    with pytest.raises(UnknownNameError, match=r"unknown feature 'item_txt'\. Did you mean 'item_text'\?"):
        publish(store, gates=POLICY, features=["item_txt"])


def test_an_empty_store_has_nothing_to_publish(store):
    with pytest.raises(InputError, match="holds nothing to publish"):
        publish(store, gates=POLICY)


@pytest.mark.parametrize("alias", ["17", "", "a b", "../x", "1st"])
def test_an_alias_that_is_no_name_is_refused(alias):
    with pytest.raises(UsageError, match="an alias starts with a letter"):
        publish(MemoryStore(), gates=POLICY, alias=alias)


def test_recommendations_of_an_earlier_split_stay_behind(store):
    add_sources(store)
    publish(store, gates=POLICY)
    lists = add_recommendations(store)
    current = publish(store, gates=POLICY)
    assert (current.left_out, lists in [pin.spec for pin in current.manifest.pins]) == ((), True)
    add_sources(store, shift=1)
    later = publish(store, gates=POLICY)
    assert later.left_out == ("popularity.lists",)
    assert lists not in [pin.spec for pin in later.manifest.pins]


@pytest.mark.parametrize("asked", [["popularity"], ["popularity.lists", "item_text"]])
def test_what_was_asked_for_by_name_is_not_left_out(store, asked):
    fill_store(store)
    publish(store, gates=POLICY)
    add_recommendations(store)
    before = publish(store, gates=POLICY).manifest.number
    add_sources(store, shift=1)
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=POLICY, features=asked)
    assert caught.value.message == (
        "popularity.lists is of a model that learned from an earlier split than the current one, and no "
        f"release may hold that; alias 'production' still names release {before}."
    )
    assert "leave these out of --feature" in caught.value.hint
    assert ReleaseCatalog(store).numbers() == [1, before]


def test_events_come_from_the_version_the_split_was_made_of(store):
    split = fill_store(store)
    store.replace("source.interactions", store.read("source.interactions").slice(0, 3))
    pins = {pin.table: pin for pin in publish(store, gates=POLICY).manifest.pins}
    assert pins["source.interactions"].version == split.interactions_version
    assert pins["source.interactions"].num_rows == 20


def test_rivals_get_numbers_of_their_own(store):
    fill_store(store)
    manifest = publish(store, gates=POLICY, alias=None).manifest
    catalog = ReleaseCatalog(store)
    assert catalog.add(manifest), "a lost acknowledgement: the same bytes again are a success"
    assert not catalog.add(manifest.model_copy(update={"created_at": "later"}))
    assert catalog.point("canary", 1)
    assert not catalog.point("canary", 1)


def test_an_alias_goes_back(store):
    fill_store(store)
    publish(store, gates=POLICY)
    add_recommendations(store, model="lightgcn")
    publish(store, gates=POLICY)
    catalog = ReleaseCatalog(store)
    assert catalog.aliases() == {"production": 2}
    assert catalog.point("production", 1)
    assert catalog.aliases() == {"production": 1}
    assert store.objects.list("aliases/") == [f"aliases/production/00000{n}.json" for n in (1, 2, 3)]
    with pytest.raises(StoreError, match="the store has no release or alias '9'"):
        catalog.point("production", 9)


def test_a_damaged_manifest_says_so(store):
    store.objects.put_new("releases/000001.json", b'{"format_version": 2}')
    with pytest.raises(StoreError, match=r"'releases/000001\.json' is not one that product version"):
        FeatureStore(store).release("1")


def test_a_manifest_of_a_newer_version_says_so(store):
    store.objects.put_new("releases/000001.json", b'{"format_version": 3, "number": 1}')
    with pytest.raises(NewerStoreError, match=r"has format 3; version .* knows formats up to 2") as caught:
        FeatureStore(store).release("1")
    assert caught.value.hint.startswith("Upgrade")

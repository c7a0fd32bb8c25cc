import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from store_samples import (
    ITEM_IDS,
    USER_IDS,
    add_graph,
    add_sources,
    add_texts,
    add_vectors,
    fill_store,
)

from featurestore import schema
from featurestore.errors import (
    LeakError,
    MissingIdsError,
    MissingVersionError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore, Release, open_store
from featurestore.releases.publish import publish
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

ROOT = Path(__file__).parents[3]
POLICY = GatePolicy(max_duplicate_text_share=1.0)


@pytest.fixture(params=["memory", "lance"])
def store(request, tmp_path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


@pytest.fixture
def release(store) -> Release:
    fill_store(store)
    publish(store, gates=POLICY)
    return FeatureStore(store).release()


def test_a_release_gives_what_was_ingested(release):
    assert release.number == 1
    assert sorted(release.items()["item_id"]) == list(ITEM_IDS)
    assert sorted(release.users()["user_id"]) == list(USER_IDS)
    assert release.id_map("item").ids == ITEM_IDS
    assert release.id_map("user").row_of(["u2"]).tolist() == [2]
    assert [pin.name for pin in release.features("graph")] == ["item_text.text"]
    assert len(release.features()) == len(release.manifest.pins)


def test_events_are_read_by_named_parts_only(release):
    train = release.interactions("train")
    assert train["part"].unique().to_list() == ["train"]
    assert (len(train), len(release.interactions("valid", "test"))) == (12, 8)
    with pytest.raises(UsageError, match=r"name the parts to read, such as interactions\('train'\)"):
        release.interactions()
    with pytest.raises(UnknownNameError, match=r"unknown split part 'tset'\. Did you mean 'test'\?"):
        release.interactions("tset")


def test_texts_come_with_their_outcome(release):
    texts = release.texts("item_text")
    assert texts["id"].to_list() == list(ITEM_IDS[:5])
    assert texts.columns == schema.TEXTS.names
    failed = release.texts("item_text", status="failed")
    assert failed.select("id", "reason", "raw").rows() == [("i5", "no_json", "?")]
    assert len(release.texts("item_text", status=None)) == 6


def test_texts_of_named_ids_come_in_request_order(release):
    assert release.texts("item_text", ids=["i3", "i0", "i3"])["id"].to_list() == ["i3", "i0", "i3"]
    both = release.texts("item_text", ids=["i5", "i1"], status=None)
    assert both["status"].to_list() == ["failed", "ok"]
    with pytest.raises(MissingIdsError, match=r"the id 'i5' is not in the ok texts of item_text\.text\."):
        release.texts("item_text", ids=["i5", "i1"])
    with pytest.raises(MissingIdsError, match=r"2 ids are not in .*: 'i9', 'zz'\."):
        release.texts("item_text", ids=["i9", "i1", "zz"])


def test_the_view_is_chosen_or_asked_for(store):
    for feature, views in {
        "one": ["odd"],
        "cot": ["forward", "fused"],
        "plain": ["text", "odd"],
        "two": "ab",
    }.items():
        for view in views:
            add_texts(store, {"i0": f"{feature} {view}"}, feature=feature, view=view)
    publish(store, gates=POLICY)
    release = FeatureStore(store).release()
    assert release.texts("one")["text"].to_list() == ["one odd"]
    assert release.texts("cot")["text"].to_list() == ["cot fused"]
    assert release.texts("cot", "forward")["text"].to_list() == ["cot forward"]
    assert release.texts("plain")["text"].to_list() == ["plain text"]
    with pytest.raises(UsageError, match="text feature 'two' has several views, name one: a, b"):
        release.texts("two")
    with pytest.raises(
        UnknownNameError, match=r"unknown view of text feature 'cot' 'fusd'\. Did you mean 'fused'"
    ):
        release.texts("cot", "fusd")
    with pytest.raises(UnknownNameError, match=r"unknown text feature 'cott'\. Did you mean 'cot'"):
        release.texts("cott")
    with pytest.raises(
        UnknownNameError, match=r"'cot'\. Known: none\.\n  Make vectors with `featurestore embed`"
    ):
        release.embeddings("cot")


def test_an_open_release_does_not_change(store, release):
    before_texts, before_vectors = release.texts("item_text"), release.embeddings("item_text").matrix.copy()
    text = add_texts(store, {i: f"New words about {i}." for i in ITEM_IDS})
    add_vectors(store, text, ITEM_IDS, seed=99)
    store.delete("source.items", ["i0", "i1"], key="item_id")
    publish(store, gates=POLICY)
    assert release.texts("item_text").equals(before_texts)
    np.testing.assert_array_equal(release.embeddings("item_text").matrix, before_vectors)
    assert len(release.items()) == 6
    newest = FeatureStore(store).release()
    assert newest.texts("item_text")["text"][0] == "New words about i0."
    assert len(newest.embeddings("item_text")) == 6
    assert len(newest.items()) == 4
    assert FeatureStore(store).release("1").texts("item_text").equals(before_texts)


def test_recommendations_by_model(release):
    lists = release.recommendations("popularity")
    assert lists.rows()[:2] == [("u0", "i1", 0, 1.0), ("u0", "i0", 1, 0.0)]
    with pytest.raises(UnknownNameError, match=r"recommendations of model 'lightgcn'\. Known: popularity\."):
        release.recommendations("lightgcn")


def test_text_that_read_held_out_events_is_refused(store):
    split = add_sources(store)
    text = add_texts(
        store, {"u0": "x"}, feature="user_cot", entity="user", event_set=split.event_set("valid")
    )
    add_vectors(store, text, ["u0"], event_set=split.event_set("valid"))
    publish(store, gates=POLICY)
    release = FeatureStore(store).release()
    for read in (release.texts, release.embeddings):
        with pytest.raises(
            LeakError, match=rf"user_cot\.text of release 1 read events of {split.checksum[:16]}:valid"
        ):
            read("user_cot")
        assert len(read("user_cot", allow_parts=("train", "valid"))) == 1
    with pytest.raises(LeakError) as caught:
        release.texts("user_cot")
    assert "allow_parts=('train', 'valid') for a final test" in caught.value.hint


def test_text_that_read_two_parts_needs_both(store):
    split = add_sources(store)
    both = f"{split.checksum[:16]}:train+valid"
    text = add_texts(store, {"u0": "x", "u1": "y"}, feature="taste", entity="user", event_set=both)
    vectors = add_vectors(store, text, ["u0", "u1"], event_set=both)
    add_graph(store, vectors, ["u0", "u1"], event_set=f"{both},{split.event_set()}")
    publish(store, gates=POLICY)
    release = FeatureStore(store).release()
    for read in (release.texts, release.embeddings, release.graph):
        for too_few in (("train",), ("valid",)):
            with pytest.raises(LeakError, match=r"read events of .*:train\+valid; allowed are parts"):
                read("taste", allow_parts=too_few)
        assert len(read("taste", allow_parts=("train", "valid"))) == 2


def test_training_texts_pass(release):
    assert len(release.texts("user_cot")) == len(release.embeddings("user_cot", "forward")) == 4


def test_unknown_releases_list_the_known(store, release):
    with pytest.raises(
        MissingVersionError,
        match=r"no release or alias 'canary'\. Aliases: production \(release 1\)\. Releases: 1\.",
    ):
        FeatureStore(store).release("canary")
    with pytest.raises(MissingVersionError, match="no release or alias '7'"):
        FeatureStore(store).release("7")
    with pytest.raises(MissingVersionError, match="Make one with `featurestore publish`"):
        FeatureStore(MemoryStore()).release()
    assert FeatureStore(store).releases() == [1]
    assert FeatureStore(store).aliases() == {"production": 1}


def test_a_release_without_a_source_says_so(store):
    add_texts(store, {"i0": "x"})
    publish(store, gates=POLICY)
    with pytest.raises(MissingVersionError, match="release 1 has no interactions"):
        FeatureStore(store).release().interactions("train")


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_a_damaged_snapshot_says_what_to_do(tmp_path, damage):
    store = connect(str(tmp_path))
    fill_store(store)
    publish(store, gates=POLICY)
    for matrix in tmp_path.glob("snapshots/*/vectors.npy"):
        matrix.write_bytes(damage)
    with pytest.raises(StoreError, match="is damaged") as caught:
        open_store(str(tmp_path)).release().embeddings("item_text")
    assert "featurestore publish" in caught.value.hint


def test_opening_loads_no_heavy_library():
    heavy = ["lancedb", "lance", "torch", "faiss", "vllm", "transformers", "sentence_transformers", "boto3"]
    script = (
        "import sys, featurestore.releases.publish; from featurestore.reader import open_store;"
        "open_store('x').releases();"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_an_id_map_is_read_where_the_release_has_it(store, release):
    """After an erasure the map of an earlier release lies in a table beside the newest one."""
    pin = next(each for each in release.manifest.pins if each.table == "source.user_ids")
    place = store.replace("past.source.user_ids", store.read(pin.table, version=pin.version).slice(0, 3))
    moved = pin.model_copy(update={"table": place.table, "version": place.version})
    pins = [moved if each is pin else each for each in release.manifest.pins]
    redacted = Release(store, release.manifest.model_copy(update={"pins": tuple(pins)}))
    assert len(release.id_map("user")) == 4
    assert redacted.id_map("user").ids == release.id_map("user").ids[:3]

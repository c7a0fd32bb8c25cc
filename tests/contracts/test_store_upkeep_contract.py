"""What every store promises of versions, fragments, objects, locks and releases."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from note_tables import content, notes
from store_samples import add_texts, add_vectors, fill_store

from featurestore.errors import (
    LockHeldError,
    MissingVersionError,
    UsageError,
)
from featurestore.gates.policy import GatePolicy
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.receipts import read_receipts, read_segment, remove_segments, write_segment
from featurestore.reader import FeatureStore
from featurestore.releases.gc import gc
from featurestore.releases.promote import rollback
from featurestore.releases.publish import publish
from featurestore.releases.retention import GcPolicy
from featurestore.releases.verify import verify
from featurestore.spec import table_name
from featurestore.store import Store, StoredSize
from featurestore.stores import connect


def test_a_release_is_published_and_read_back(store: Store, tmp_path, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_CACHE", str(tmp_path / "cache"))
    fill_store(store)
    publish(store, gates=GatePolicy())
    for _ in range(2):
        embeddings = FeatureStore(store).release().embeddings("item_text")
        stored = store.read(table_name(embeddings.spec), ids=embeddings.ids, columns=["vector"])
        np.testing.assert_array_equal(embeddings.matrix, stored["vector"].to_pylist())
    assert (tmp_path / "cache").exists() == store.uri.startswith("s3://")
    for path in store.objects.list("snapshots/"):
        store.objects.delete(path)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()], (
        "a copy outlived the object"
    )


def test_releases_are_verified_collected_and_rolled_back(store: Store, tmp_path, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_CACHE", str(tmp_path / "cache"))
    fill_store(store)
    for wording in ("first", "second", "third"):
        text = add_texts(store, {"i0": f"A {wording} text about i0."})
        add_vectors(store, text, ["i0"], seed=len(wording))
        publish(store, gates=GatePolicy())
    assert verify(store).damages == ()
    assert rollback(store).release == 2
    report = gc(store, GcPolicy(keep_releases=1, grace_hours=0, abandoned_days=0))
    assert (report.garbage.releases, report.busy) == ((1,), ())
    release = FeatureStore(store).release()
    assert "A second text about i0." in release.texts("item_text")["text"].to_list()
    assert len(release.embeddings("item_text")) == 5
    assert verify(store).damages == ()


def test_a_lock_holds_for_everyone_who_reaches_the_store(store: Store):
    elsewhere = store if store.uri.startswith("memory:") else connect(store.uri)
    with FeatureLock(store.objects, "text.a") as lock:
        lock.check()
        with pytest.raises(LockHeldError, match=r"another job works on text\.a"):
            FeatureLock(elsewhere.objects, "text.a").__enter__()
    with FeatureLock(elsewhere.objects, "text.a") as second:
        assert second.epoch == 2
        with pytest.raises(LockHeldError, match="commits nothing more"):
            lock.check()


def test_segments_reach_the_store_of_everyone(store: Store):
    receipt = write_segment(store.objects, "r1", "1", "a", [("t", {"id": "i1", "note": "x"})])
    assert write_segment(store.objects, "r1", "1", "b", [("t", {"id": "i1", "note": "y"})]) == receipt
    assert read_receipts(store.objects, "r1") == [receipt]
    assert read_segment(store.objects, receipt) == [("t", {"id": "i1", "note": "x"})]
    remove_segments(store.objects, "r1")
    assert store.objects.list("segments/") == []


def test_compaction_keeps_what_is_asked_for_and_the_newest(store: Store):
    store.upsert("t", notes(**{f"i{n}": "old" for n in range(200)}), key="id")
    versions = [store.upsert("t", notes(**{f"i{n}": f"new {n}"}), key="id") for n in range(20)]
    size = store.stored_size("t")
    assert size.num_versions == 21
    kept = versions[4].version
    newest, at_kept = content(store.read("t")), content(store.read("t", version=kept))
    store.compact("t", keep_versions=[kept, 10_000], grace=timedelta(hours=1))
    assert store.stored_size("t").num_versions >= 21
    store.compact("t", keep_versions=[kept, 10_000], grace=timedelta(0))
    smaller = store.stored_size("t")
    assert smaller.num_versions == 2
    assert smaller.num_bytes < size.num_bytes / 3
    assert smaller.num_files < size.num_files / 3
    assert content(store.read("t")) == newest
    assert content(store.read("t", version=kept)) == at_kept
    with pytest.raises(MissingVersionError):
        store.read("t", version=versions[5].version)
    store.compact("t", keep_versions=[], grace=timedelta(0))
    assert store.stored_size("t").num_versions == 1
    again = store.upsert("t", notes(i1="newer"), key="id")
    assert again.num_rows == 200
    assert content(store.read("t")) == newest | {"i1": "newer"}


def test_fragments_together_are_the_version(store: Store):
    first = store.upsert("t", notes(**{f"i{n}": "old" for n in range(50)}), key="id").version
    store.upsert("t", notes(i3="new", z="9"), key="id")
    last = store.delete("t", ["i7", "z"], key="id").version
    for version in (first, last):
        fragments = store.fragments("t", version=version)
        parts = [store.read_fragment("t", each.name, version=version) for each in fragments]
        assert [part.num_rows for part in parts] == [each.num_rows for each in fragments]
        assert pa.concat_tables(parts).equals(store.read("t", version=version))
        assert fragments == store.fragments("t", version=version)
    with pytest.raises(MissingVersionError, match="no fragment 'other'"):
        store.read_fragment("t", "other", version=first)
    with pytest.raises(MissingVersionError, match="77"):
        store.fragments("t", version=77)


def test_fragments_of_equal_names_tell_what_was_deleted(store: Store):
    versions = [store.upsert("t", notes(**{f"i{n}": "old" for n in range(50)}), key="id").version]
    versions.append(store.upsert("t", notes(i3="new"), key="id").version)
    versions.append(store.delete("t", ["i7", "i3", "i0"], key="id").version)
    held = [{each.name: each for each in store.fragments("t", version=each)} for each in versions]
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        for name in held[earlier].keys() & held[later].keys():
            before = content(store.read_fragment("t", name, version=versions[earlier]))
            after = content(store.read_fragment("t", name, version=versions[later]))
            assert (before == after) == (held[earlier][name] == held[later][name])
            gone = store.read_fragment("t", name, version=versions[earlier], gone_from=versions[later])
            assert content(gone) == {key: before[key] for key in before.keys() - after.keys()}
    if not store.uri.startswith("memory:"):
        assert len(held[0].keys() & held[2].keys()) == 1, "two rows of fifty do not rewrite the rest"


def test_versions_are_listed_with_their_age(store: Store):
    assert store.versions("t") == []
    versions = [store.upsert("t", notes(a=str(n)), key="id").version for n in range(3)]
    listed = store.versions("t")
    assert [each.version for each in listed] == versions
    assert [each.age for each in listed] == sorted((each.age for each in listed), reverse=True)
    assert timedelta(0) <= listed[-1].age < timedelta(minutes=5)


def test_a_protected_version_stays_what_it_was(store: Store):
    first = store.upsert("t", notes(a="1"), key="id").version
    store.protect("t", first)
    store.protect("t", first)
    store.upsert("t", notes(a="2"), key="id")
    store.compact("t", keep_versions=[first], grace=timedelta(0))
    assert content(store.read("t", version=first)) == {"a": "1"}
    store.compact("t", keep_versions=[], grace=timedelta(0))
    assert [each.version for each in store.versions("t")] == [store.latest("t").version]
    with pytest.raises(MissingVersionError):
        store.protect("t", first)


def test_a_dropped_table_is_gone_and_its_name_is_free(store: Store):
    store.upsert("t", notes(a="1"), key="id")
    store.upsert("u", notes(a="1"), key="id")
    store.drop("t")
    store.drop("t")
    assert store.tables() == ["u"]
    assert store.latest("t") is None
    assert content(store.read("u")) == {"a": "1"}
    assert store.upsert("t", notes(b="2"), key="id").num_rows == 1
    assert content(store.read("t")) == {"b": "2"}


def test_a_table_that_is_not_there_takes_no_space(store: Store):
    store.compact("t", keep_versions=[1], grace=timedelta(0))
    assert store.stored_size("t") == StoredSize(0, 0, 0)
    store.objects.put_new("runs/a.json", b"123")
    assert store.objects.sizes("runs/") == {"runs/a.json": 3}


def test_objects_are_created_once(store: Store):
    path = "releases/000001.json"
    assert store.objects.put_new(path, b"first")
    assert not store.objects.put_new(path, b"second")
    assert not store.objects.put_new(path, b"first")
    assert store.objects.read(path) == b"first"
    store.objects.put_new("releases/000002.json", b"")
    store.objects.put_new("runs/a.json", b"{}")
    assert store.objects.list("releases/") == [path, "releases/000002.json"]
    assert store.objects.list("releases/00000") == [path, "releases/000002.json"]
    assert store.objects.read("releases/000002.json") == b""
    with pytest.raises(MissingVersionError, match=r"no object 'runs/none\.json'"):
        store.objects.read("runs/none.json")


def test_a_deleted_object_is_gone_and_its_path_is_free(store: Store):
    store.objects.put_new("runs/a.json", b"first")
    store.objects.delete("runs/a.json")
    store.objects.delete("runs/a.json")
    assert store.objects.list("runs/") == []
    assert store.objects.put_new("runs/a.json", b"second")
    assert store.objects.read("runs/a.json") == b"second"


@pytest.mark.parametrize("address", ["", "gs://bucket/x", "http://host/x"])
def test_other_addresses_are_refused(address: str):
    with pytest.raises(UsageError, match="a folder, s3://bucket/prefix or memory://name"):
        connect(address)


def test_erased_rows_are_in_no_file_of_the_newest_version(store: Store) -> None:
    store.upsert("notes", notes(early="1", gone="secret-one", other="3"), key="id")
    store.upsert("notes", notes(alone="secret-two"), key="id")
    store.upsert("notes", notes(early="4"), key="id")
    before = store.delete("notes", ["other"], key="id").version
    hidden = store.deleted_rows("notes", version=before, columns=["id"])["id"].to_pylist()
    assert set(hidden) <= {"early", "other"}
    erased = store.erase("notes", ["gone", "alone", "absent"], key="id").version
    assert content(store.read("notes")) == {"early": "4"}
    assert store.deleted_rows("notes", version=erased, columns=["id"]).num_rows == 0
    assert content(store.read("notes", version=before)).keys() == {"early", "gone", "alone"}
    store.compact("notes", keep_versions=(), grace=timedelta(0))
    assert content(store.read("notes")) == {"early": "4"}
    kept = [path for path in store.objects.sizes("tables/notes.lance/") if "/_versions/" not in path]
    named = [path for path in kept if b"secret" in store.objects.read(path)]
    assert named == []


@pytest.mark.parametrize("ids", [["a"], ["a", "b"], []])
def test_no_record_of_an_erasure_names_what_was_erased(store: Store, ids: list[str]) -> None:
    rows = {f"user-{each}": "x" for each in "abc"}
    for name, note in rows.items():
        store.upsert("notes", notes(**{name: note}), key="id")
    store.erase("notes", [f"user-{each}" for each in ids], key="id")
    store.compact("notes", keep_versions=(), grace=timedelta(0))
    files = [store.objects.read(path) for path in store.objects.sizes("tables/notes.lance/")]
    for each in ids:
        assert not any(f"user-{each}".encode() in data for data in files)
    assert content(store.read("notes")).keys() == {name for name in rows if name[-1] not in ids}


def test_no_file_names_rows_that_were_deleted_before_a_compaction(store: Store) -> None:
    """The record of a deletion stays as long as its version does, which a release may pin for years."""
    lists = pa.table([["user-gone", "user-gone", "user-kept"], ["a", "b", "a"]], names=["user_id", "item_id"])
    store.replace("lists", lists)
    store.upsert("notes", notes(**{"user-gone": "1", "user-kept": "2"}), key="id")
    store.delete("lists", ["user-gone", "user-gone"], key="user_id")
    assert store.read("lists").to_pylist() == [{"user_id": "user-kept", "item_id": "a"}]
    store.delete("notes", ["user-gone", "user-absent"], key="id")
    for table in ("lists", "notes"):
        records = [path for path in store.objects.sizes(f"tables/{table}.lance/") if "/data/" not in path]
        assert not any(b"user-" in store.objects.read(path) for path in records)

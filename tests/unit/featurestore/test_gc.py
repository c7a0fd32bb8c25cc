"""What garbage collection leaves alone, and why; the laws are in tests/properties/test_gc_laws.py."""

import contextlib
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from coded_vectors import ITEMS, OPTIONS, build, put_vectors
from store_samples import ITEM_IDS, add_graph, add_sources, add_texts, add_vectors

from featurestore import release as release_module
from featurestore.codes.collision_digits import issued_table
from featurestore.errors import LockHeldError, StoreError
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.jobs.lock import FeatureLock
from featurestore.release import ReleaseCatalog
from featurestore.releases import gc as gc_module
from featurestore.releases.garbage import Garbage, find_garbage
from featurestore.releases.gc import gc
from featurestore.releases.promote import promote
from featurestore.releases.publish import publish
from featurestore.releases.retention import GcPolicy, kept_releases
from featurestore.releases.verify import verify
from featurestore.spec import table_name
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore
from featurestore.table_upkeep import report_paths

AT_ONCE = GcPolicy(keep_releases=1, grace_hours=0, abandoned_days=0)
FINER = OPTIONS.model_copy(update={"codebook_size": 8})
GATES = GatePolicy(min_compared=1_000, max_lost_texts=1.0, min_connected_share=0.0)


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


def release(store: Store, wording: str = "a", *, number: int = 0, alias: str | None = "production") -> int:
    """New texts, vectors and a graph of one wording, published."""
    text = add_texts(store, {i: f"{wording} {number} {i}" for i in ITEM_IDS}, wording=wording)
    vectors = add_vectors(store, text, ITEM_IDS, seed=number)
    graph = add_graph(store, vectors, ITEM_IDS)
    latest = store.latest(table_name(graph))
    assert latest is not None
    number = publish(store, gates=GATES, alias=alias, carry=False).manifest.number
    for path in report_paths(latest.table, latest.version):
        store.objects.put_new(path, b"{}")
    return number


def numbers(store: Store) -> list[int]:
    return ReleaseCatalog(store).numbers()


def test_old_releases_go_with_all_that_only_they_need(store):
    add_sources(store)
    assert [release(store, number=number) for number in range(3)] == [1, 2, 3]
    foreseen = gc(store, AT_ONCE, dry_run=True)
    assert (foreseen.collected, numbers(store)) == (False, [1, 2, 3])
    report = gc(store, AT_ONCE)
    assert numbers(store) == [3]
    assert report.garbage == foreseen.garbage
    assert [(kept.number, kept.why) for kept in report.garbage.kept] == [(3, "alias 'production' names it")]
    assert report.garbage.releases == (1, 2)
    assert {path.split("/")[0] for path in report.garbage.objects} == {"snapshots", "graphs", "codes"}
    assert len(store.objects.list("snapshots/")) == 2
    assert len(store.objects.list("graphs/")) == 1
    assert report.bytes_after < report.bytes_before
    again = gc(store, AT_ONCE).garbage
    assert (again.releases, again.tables, again.versions, again.objects, again.moves) == ((), {}, {}, {}, ())


def test_aliases_keep_releases_of_any_age(store):
    add_sources(store)
    for number in range(4):
        release(store, number=number)
    promote(store, "2", alias="paper")
    gc(store, AT_ONCE)
    assert numbers(store) == [2, 4]
    assert ReleaseCatalog(store).aliases() == {"paper": 2, "production": 4}


def test_what_readers_may_have_open_stays_for_a_time(monkeypatch):
    store = MemoryStore()
    add_sources(store)
    clock = datetime.now(UTC) - timedelta(hours=50)
    monkeypatch.setattr(release_module, "now", lambda: clock.isoformat(timespec="seconds"))
    monkeypatch.setattr("featurestore.releases.publish.now", lambda: clock.isoformat(timespec="seconds"))
    release(store, number=0)
    release(store, number=1, alias=None)
    clock += timedelta(hours=40)
    promote(store, "2")
    release(store, number=3, alias=None)
    policy = GcPolicy(keep_releases=1, grace_hours=24)
    assert [kept.number for kept in kept_releases(store, policy)] == [1, 2, 3]
    whys = {kept.number: kept.why for kept in kept_releases(store, policy)}
    assert whys[1].startswith("alias 'production' named it until 2")
    clock += timedelta(hours=1)
    release(store, number=4, alias=None)
    whys = {kept.number: kept.why for kept in kept_releases(store, policy)}
    assert whys[3] == "it was published within the time of grace"
    shorter = GcPolicy(keep_releases=1, grace_hours=5)
    assert [kept.number for kept in kept_releases(store, shorter)] == [2, 4]


def test_tables_of_abandoned_specs_go_after_their_time(store):
    add_sources(store)
    release(store, "a")
    old = {table for table in store.tables() if not table.startswith("source.")}
    release(store, "b")
    patient = GcPolicy(keep_releases=1, grace_hours=0, abandoned_days=1)
    assert gc(store, patient).garbage.tables == {}
    assert old <= set(store.tables())
    assert set(gc(store, AT_ONCE).garbage.tables) == old
    assert not old & set(store.tables())


def test_what_a_head_was_made_of_stays(store):
    """The head of the texts moved on, that of the vectors did not yet, and nothing was released."""
    add_sources(store)
    text = add_texts(store, dict.fromkeys(ITEM_IDS, "a"), wording="a")
    add_vectors(store, text, ITEM_IDS)
    add_texts(store, dict.fromkeys(ITEM_IDS, "b"), wording="b")
    assert gc(store, AT_ONCE).garbage.tables == {}
    assert table_name(text) in store.tables()


def test_a_table_that_a_job_writes_is_left_alone(store):
    add_sources(store)
    release(store, "a")
    abandoned = next(table for table in store.tables() if table.startswith("text."))
    release(store, "b")
    current = next(t for t in store.tables() if t.startswith("text.") and t != abandoned)
    with FeatureLock(store.objects, abandoned), FeatureLock(store.objects, current):
        report = gc(store, AT_ONCE)
    assert set(report.busy) == {abandoned, current}
    assert abandoned in store.tables()
    assert gc(store, AT_ONCE).busy == ()
    assert abandoned not in store.tables()


def test_sources_are_left_alone_while_they_are_ingested(store):
    add_sources(store)
    release(store)
    with FeatureLock(store.objects, "source-tables"):
        busy = gc(store, AT_ONCE).busy
    assert set(busy) == {table for table in store.tables() if table.startswith("source.")}


def test_only_one_process_makes_or_removes_releases(store):
    add_sources(store)
    with (
        FeatureLock(store.objects, "publish"),
        pytest.raises(LockHeldError, match="another job works on publish"),
    ):
        gc(store, AT_ONCE)


def test_a_release_that_is_promoted_meanwhile_stays(monkeypatch):
    store = MemoryStore()
    add_sources(store)
    for number in range(3):
        release(store, number=number)
    found = gc_module.find_garbage

    def promoted_just_then(*arguments) -> Garbage:
        garbage = found(*arguments)
        if "canary" not in ReleaseCatalog(store).aliases():
            promote(store, "1", alias="canary")
        return garbage

    monkeypatch.setattr(gc_module, "find_garbage", promoted_just_then)
    assert gc(store, AT_ONCE).garbage.releases == (2,)
    assert numbers(store) == [1, 3]
    assert verify(store).damages == ()


def test_a_damaged_manifest_stops_everything(store):
    add_sources(store)
    release(store, number=0)
    release(store, number=1)
    store.objects.delete("releases/000001.json")
    store.objects.put_new("releases/000001.json", b"{")
    before = sorted(store.objects.sizes(""))
    with pytest.raises(StoreError, match=r"'releases/000001\.json' is not one that product version"):
        gc(store, AT_ONCE)
    assert [p for p in sorted(store.objects.sizes("")) if "locks/" not in p] == [
        p for p in before if "locks/" not in p
    ]


def test_a_crash_after_any_step_is_made_good_by_the_next_run(tmp_path, monkeypatch):
    """Whatever was removed before the crash: no release without data, and the next run removes the rest."""
    whole = connect(str(tmp_path / "whole"))
    add_sources(whole)
    release(whole, "a")
    release(whole, "b", number=1)
    crashes = 0
    for crash_at in range(1, 60, 5):
        store = connect(str(shutil.copytree(tmp_path / "whole", tmp_path / str(crash_at))))
        with monkeypatch.context() as patch:
            crashed = _crash(patch, store, crash_at)
            with contextlib.suppress(_CrashError):
                gc(store, AT_ONCE)
        if not crashed():
            break
        crashes += 1
        assert set(numbers(store)) <= {1, 2}
        assert verify(store).damages == ()
        gc(store, AT_ONCE)
        rest = find_garbage(store, AT_ONCE)
        assert (rest.releases, rest.tables, rest.versions, rest.objects) == ((), {}, {}, {})
    assert crashes >= 3


class _CrashError(BaseException):
    """Stands for kill -9."""


def _crash(patch: pytest.MonkeyPatch, store: Store, place: int) -> Callable[[], bool]:
    """Let the ``place``-th removal not happen, nor anything after it."""
    count = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def remove(*arguments, **options):
            nonlocal count
            if arguments and str(arguments[-1]).startswith("locks/"):
                return original(*arguments, **options)
            count += 1
            if count == place:
                raise _CrashError
            return original(*arguments, **options)

        return remove

    patch.setattr(store.objects, "delete", counted(store.objects.delete))
    patch.setattr(store, "drop", counted(store.drop))
    patch.setattr(store, "compact", counted(store.compact))
    return lambda: count >= place


def test_candidates_go_with_their_graph(store):
    add_sources(store)
    release(store, "a")
    first = next(table for table in store.tables() if table.startswith("graph."))
    release(store, "b", number=1)
    second = next(t for t in store.tables() if t.startswith("graph.") and t != first)
    for table in (first, second):
        store.objects.put_new(f"graphs/{table}/000001.candidates.arrow", b"?")
    gc(store, AT_ONCE)
    kept = [path for path in store.objects.list("graphs/") if path.endswith(".arrow")]
    assert kept == [f"graphs/{second}/000001.candidates.arrow"], "the next build starts from it"


def test_codebooks_and_reports_of_what_is_taken_up_meanwhile_stay(monkeypatch):
    store = MemoryStore()
    add_sources(store)
    put_vectors(store, ITEMS)
    first = build(store).spec
    second = build(store, codebook="new", options=FINER).spec
    old = [path for path in store.objects.list("codebooks/") if first.codebook in path]
    report = f"codes/{table_name(first)}/000001.json"
    assert len(old) == 2
    assert {*old, report} <= find_garbage(store, AT_ONCE).objects.keys()
    found = gc_module.find_garbage

    def taken_up_just_then(*arguments) -> Garbage:
        garbage = found(*arguments)
        FeatureRegistry(store).register(first)
        return garbage

    with monkeypatch.context() as patch:
        patch.setattr(gc_module, "find_garbage", taken_up_just_then)
        assert table_name(first) in gc(store, AT_ONCE).busy
    assert {*old, report} <= store.objects.sizes("").keys()
    FeatureRegistry(store).register(second)
    store.drop(table_name(first))
    store.drop(issued_table(first))
    gc(store, AT_ONCE)
    rest = store.objects.list("codebooks/")
    assert not {*old, report} & set(rest), "also after a run that was killed between tables and codebooks"
    assert len(rest) == 2

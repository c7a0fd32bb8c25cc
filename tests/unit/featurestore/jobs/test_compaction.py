from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from store_samples import add_sources

from featurestore.errors import LockHeldError, MissingVersionError
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.ids import digest
from featurestore.jobs.answers import ANSWERS_TABLE, AnswerCache, CachedAnswer
from featurestore.jobs.committer import CommitTarget
from featurestore.jobs.compaction import CompactionPolicy, compact_after_run, kept_versions
from featurestore.jobs.lock import FeatureLock
from featurestore.release import ReleaseCatalog
from featurestore.releases.publish import publish
from featurestore.schema import TEXTS
from featurestore.spec import PlainTextSpec, table_name
from featurestore.store import Store
from featurestore.stores import connect

_SPEC = PlainTextSpec(feature="f", view="text", entity="item", fields=("title",), template_digest="t")
_TABLE = table_name(_SPEC)
_AT_ONCE = CompactionPolicy(grace=timedelta(0), unused_answers=5)
_LENIENT = GatePolicy(min_coverage=0.0)


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return connect("memory://compaction" if request.param == "memory" else str(tmp_path / "store"))


@pytest.fixture
def target(store: Store) -> Iterator[CommitTarget]:
    with ExitStack() as stack:
        lock = stack.enter_context(FeatureLock(store.objects, _TABLE))
        yield CommitTarget(_SPEC, TEXTS, lock)


def _commit(store: Store, entity_id: str, answer: int) -> int:
    row = dict.fromkeys(TEXTS.names) | {
        "id": entity_id,
        "status": "ok",
        "text": f"text {answer}",
        "fingerprint": "f",
        "attempts": 1,
        "run_id": "r1",
        "request_key": digest(answer),
    }
    version = store.upsert(_TABLE, pa.Table.from_pylist([row], schema=TEXTS), key="id")
    FeatureRegistry(store).register(_SPEC)
    return version.version


def _answer(store: Store, numbers: range, run_id: str = "r1") -> None:
    with AnswerCache(store, run_id=run_id) as cache:
        for number in numbers:
            cache.add(digest(number), CachedAnswer(f"answer {number}", "stop", 1, 1))


def _answers(store: Store) -> set[str]:
    return set(store.read(ANSWERS_TABLE)["text"].to_pylist())


def test_what_a_release_pins_stays_and_the_rest_goes(store: Store, target: CommitTarget) -> None:
    add_sources(store)
    for number in range(4):
        _commit(store, "i1", number)
    pinned = publish(store, gates=_LENIENT).manifest.pins
    version = next(pin.version for pin in pinned if pin.table == _TABLE)
    later = [_commit(store, "i1", number) for number in range(4, 16)]
    compact_after_run(store, [target], _AT_ONCE)
    assert store.read(_TABLE, version=version)["text"].to_pylist() == ["text 3"]
    assert store.read(_TABLE)["text"].to_pylist() == ["text 15"]
    assert store.stored_size(_TABLE).num_versions == 2
    with pytest.raises(MissingVersionError):
        store.read(_TABLE, version=later[3])


def test_versions_that_were_replaced_lately_stay(store: Store, target: CommitTarget) -> None:
    versions = [_commit(store, "i1", number) for number in range(12)]
    compact_after_run(store, [target])
    assert [store.read(_TABLE, version=v)["text"].to_pylist() for v in versions] == [
        [f"text {n}"] for n in range(12)
    ]


def test_answers_that_rows_or_releases_use_stay_and_so_do_the_newest_others(
    store: Store, target: CommitTarget
) -> None:
    add_sources(store)
    _answer(store, range(10))
    _answer(store, range(10, 20), "r2")
    _commit(store, "i1", 3)
    publish(store, gates=_LENIENT)
    _commit(store, "i1", 4)
    compact_after_run(store, [target], _AT_ONCE)
    found = _answers(store)
    assert {"answer 3", "answer 4"} <= found
    assert len(found) == 7
    assert sum(int(text.split()[1]) >= 10 for text in found) == 5
    compact_after_run(store, [target], _AT_ONCE)
    assert _answers(store) == found
    assert store.stored_size(ANSWERS_TABLE).num_versions == 1


def test_nothing_is_removed_while_nobody_knows_what_a_release_pins(
    store: Store, target: CommitTarget
) -> None:
    add_sources(store)
    for number in range(4):
        _commit(store, "i1", number)
    publish(store, gates=_LENIENT)
    (path,) = store.objects.list("releases/")
    manifest = store.objects.read(path)
    store.objects.delete(path)
    store.objects.put_new(path, manifest[:-1])
    for number in range(4, 16):
        _commit(store, "i1", number)
    _answer(store, range(20))
    versions = {each.version for each in store.versions(_TABLE)}
    assert kept_versions(store, _TABLE, None) == versions
    compact_after_run(store, [target], _AT_ONCE)
    assert versions <= {each.version for each in store.versions(_TABLE)}
    assert len(_answers(store)) == 20
    store.objects.delete(path)
    store.objects.put_new(path, manifest)
    compact_after_run(store, [target], _AT_ONCE)
    assert len(store.versions(_TABLE)) == 2, "what the release pins, and the newest"
    assert len(_answers(store)) < 20


def test_few_answers_are_left_alone(store: Store, target: CommitTarget) -> None:
    _answer(store, range(5))
    compact_after_run(store, [target], _AT_ONCE)
    assert len(_answers(store)) == 5


def test_a_job_that_lost_its_lock_compacts_nothing(store: Store, target: CommitTarget) -> None:
    versions = [_commit(store, "i1", number) for number in range(12)]
    store.objects.put_new(f"locks/{_TABLE}/000000002.owner", b"{}")
    with pytest.raises(LockHeldError):
        compact_after_run(store, [target], _AT_ONCE)
    assert store.read(_TABLE, version=versions[0]).num_rows == 1


def test_the_events_of_a_split_are_kept(store: Store) -> None:
    first, second = add_sources(store), add_sources(store, shift=1)
    publish(store, gates=_LENIENT)
    manifests = [ReleaseCatalog(store).manifest(1)]
    kept = kept_versions(store, "source.interactions", manifests)
    assert kept == {first.interactions_version, second.interactions_version}
    assert kept_versions(store, _TABLE, manifests) == set()

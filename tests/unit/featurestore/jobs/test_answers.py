import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.errors import StorageFullError
from featurestore.ids import digest
from featurestore.jobs import answers as answers_module
from featurestore.jobs.answers import ANSWERS_TABLE, AnswerCache, CachedAnswer
from featurestore.jobs.lock import FeatureLock
from featurestore.store import Store, TableVersion
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore


def _key(number: int) -> str:
    return digest(number)


def _answer(number: int) -> CachedAnswer:
    return CachedAnswer(f"answer {number}", "stop", number, 7)


def _filled(store: Store, numbers: range, run_id: str = "r1") -> None:
    with AnswerCache(store, run_id=run_id) as cache:
        for number in numbers:
            cache.add(_key(number), _answer(number))


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return connect("memory://answers" if request.param == "memory" else str(tmp_path / "store"))


def test_an_answer_is_found_by_later_jobs_and_nothing_else_is(store: Store) -> None:
    assert AnswerCache(store, run_id="r0").find(_key(1)) is None
    _filled(store, range(700))
    cache = AnswerCache(store, run_id="r2")
    assert [cache.find(_key(n)) for n in range(700)] == [_answer(n) for n in range(700)]
    assert [cache.find(_key(n)) for n in range(700, 1400)] == [None] * 700


def test_a_written_answer_stays_known_to_the_job_that_wrote_it(store: Store) -> None:
    _filled(store, range(300))
    cache = AnswerCache(store, run_id="r2")
    assert cache.find(_key(299)) == _answer(299)
    for start in (300, 400):
        for number in range(start, start + 100):
            assert cache.find(_key(number)) is None
            cache.add(_key(number), _answer(number))
            assert cache.find(_key(number)) == _answer(number)
        assert cache.flush() == 100
        assert cache.flush() == 0
    assert [cache.find(_key(n)) for n in range(500)] == [_answer(n) for n in range(500)]


def test_keys_of_equal_beginning_are_told_apart(store: Store) -> None:
    keys = [f"{'ab' * 8}{n:016x}" for n in range(5)]
    with AnswerCache(store, run_id="r1") as cache:
        for number, key in enumerate(keys[:4]):
            cache.add(key, _answer(number))
    found = AnswerCache(store, run_id="r2")
    assert [found.find(key) for key in keys] == [*map(_answer, range(4)), None]


def test_jobs_that_write_at_once_double_nothing(tmp_path: Path) -> None:
    uri = str(tmp_path / "store")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: _filled(connect(uri), range(n * 20, n * 20 + 60), f"r{n}"), range(3)))
    keys = connect(uri).read(ANSWERS_TABLE, columns=["request_key"])["request_key"].to_pylist()
    assert sorted(keys) == sorted(map(_key, range(100)))


def test_little_and_young_is_not_written_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    cache = AnswerCache(store, run_id="r1")
    cache.add(_key(1), _answer(1))
    cache.tick()
    assert store.tables() == []
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    cache.tick()
    assert store.tables() == [ANSWERS_TABLE]


def test_much_is_written_at_once() -> None:
    store = MemoryStore()
    cache = AnswerCache(store, run_id="r1")
    for number in range(2000):
        cache.add(_key(number), _answer(number))
    cache.tick()
    assert store.read(ANSWERS_TABLE).num_rows == 2000


def test_a_busy_lock_costs_the_oldest_answers_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(answers_module, "_MOST_PENDING", 10)
    store = MemoryStore()
    cache = AnswerCache(store, run_id="r1")
    with FeatureLock(store.objects, ANSWERS_TABLE):
        for number in range(12):
            cache.add(_key(number), _answer(number))
        assert cache.flush() == 0
    assert cache.num_lost == 2
    assert cache.flush() == 10
    assert cache.find(_key(0)) is None
    assert cache.find(_key(11)) == _answer(11)


def test_a_trimmed_entry_is_a_miss(store: Store) -> None:
    _filled(store, range(10))
    cache = AnswerCache(store, run_id="r2")
    assert cache.find(_key(10)) is None
    store.delete(ANSWERS_TABLE, [_key(3)], key="request_key")
    assert cache.find(_key(3)) is None
    assert cache.find(_key(4)) in (None, _answer(4))
    assert cache.find(_key(4)) == _answer(4)


def test_a_full_disk_is_said_and_loses_nothing() -> None:
    class Full(MemoryStore):
        is_full = True

        def upsert(self, table: str, rows: pa.Table, *, key: str) -> TableVersion:
            if self.is_full:
                raise StorageFullError("no space left")
            return super().upsert(table, rows, key=key)

    store = Full()
    cache = AnswerCache(store, run_id="r1")
    cache.add(_key(1), _answer(1))
    with pytest.raises(StorageFullError):
        cache.flush()
    store.is_full = False
    assert cache.flush() == 1

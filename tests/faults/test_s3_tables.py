"""Tables on a failing S3: a write is there once and whole, or the error says that the service failed."""

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle
from typing import TypeVar

import pyarrow as pa
import pytest
from fault_proxy import Fault, FaultProxy, drawn, first
from s3_service import BUCKET, failing_s3

from featurestore.errors import ServiceError
from featurestore.store import Store, TableVersion
from featurestore.stores import connect, lance_database

_NOTES = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string())])
_FAULTS = (Fault.RESET, Fault.LOST_REPLY, Fault.BUSY, Fault.TORN_REPLY)
_Result = TypeVar("_Result")
_OFTEN = dict.fromkeys(_FAULTS, 0.05)
XX = {
    Fault.RESET: 0.04,
    Fault.BUSY: 0.04,
    Fault.LOST_REPLY: 0.04,
    Fault.TORN_REPLY: 0.04,
    Fault.SLOW: 0.02,
}


@pytest.fixture(scope="module")
def service() -> Iterator[FaultProxy]:
    with failing_s3() as proxy:
        yield proxy


@pytest.fixture
def proxy(service: FaultProxy) -> Iterator[FaultProxy]:
    service.befallen.clear()
    yield service
    service.decide = lambda _: Fault.NONE


@pytest.fixture
def store(proxy: FaultProxy) -> Store:
    return connect(f"s3://{BUCKET}/{uuid.uuid4().hex}")


def _notes(texts: dict[str, str]) -> pa.Table:
    return pa.table([list(texts), list(texts.values())], schema=_NOTES)


def _content(store: Store, table: str = "t") -> dict[str, str]:
    rows = store.read(table).to_pylist()
    assert len({row["id"] for row in rows}) == len(rows), "a row is doubled"
    return {row["id"]: row["note"] for row in rows}


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize(
    ("method", "part"), [("PUT", ".manifest"), ("PUT", "/data/"), ("GET", "list-type=2")]
)
def test_one_fault_is_not_noticed(proxy: FaultProxy, store: Store, method: str, part: str, start: int):
    faults = cycle((*_FAULTS[start:], *_FAULTS[:start]))

    def befall(num_rows: int, write: Callable[[], TableVersion]) -> None:
        proxy.decide = first(next(faults), method, part)
        assert write().num_rows == num_rows

    befall(2, lambda: store.upsert("t", _notes({"a": "1", "b": "2"}), key="id"))
    befall(3, lambda: store.upsert("t", _notes({"b": "new", "c": "3"}), key="id"))
    assert _content(store) == {"a": "1", "b": "new", "c": "3"}
    befall(2, lambda: store.delete("t", ["a"], key="id"))
    assert _content(store) == {"b": "new", "c": "3"}
    befall(1, lambda: store.replace("t", _notes({"z": "9"})))
    assert _content(store) == {"z": "9"}
    assert sum(proxy.befallen[fault] for fault in _FAULTS) >= 3


def test_two_makers_of_one_table_both_have_their_rows(proxy: FaultProxy, store: Store):
    """Both find no table; the one that comes second merges into the first one's."""
    other = connect(store.uri)
    other.upsert("t", _notes({"a": "1", "b": "1"}), key="id")
    database = store._database
    really_open, blind = database.open, iter([True, True])
    database.open = lambda table: None if next(blind, False) else really_open(table)
    store.upsert("t", _notes({"b": "2", "c": "2"}), key="id")
    assert _content(other) == {"a": "1", "b": "2", "c": "2"}


def test_a_service_that_stays_busy_is_named(proxy: FaultProxy, store: Store, monkeypatch: pytest.MonkeyPatch):
    store.upsert("t", _notes({"a": "1"}), key="id")
    monkeypatch.setattr(lance_database, "_PAUSES", {"Generic S3 error": (0.01,)})
    proxy.decide = first(Fault.BUSY, "PUT", ".manifest", times=1000)
    with pytest.raises(
        ServiceError, match=r"S3 does not answer for table 't' of s3://features/.*503"
    ) as caught:
        store.upsert("t", _notes({"a": "2"}), key="id")
    assert "Run the command again in a while" in caught.value.hint
    proxy.decide = lambda _: Fault.NONE
    assert _content(store) == {"a": "1"}
    store.upsert("t", _notes({"a": "2"}), key="id")
    assert _content(store) == {"a": "2"}


@pytest.mark.slow
def test_a_history_of_writes_under_faults_ends_as_without(proxy: FaultProxy, store: Store, seed: int):
    """What a write that failed would have done may or may not be there; whoever repeats it is well again."""
    draw, expected = random.Random(seed), dict[str, str]()
    proxy.decide = drawn(seed, _OFTEN)
    for number in range(15):
        ids = draw.sample([f"i{n}" for n in range(12)], 5)
        rows = dict.fromkeys(ids, str(number))
        if number % 5 == 4:
            _until_it_works(lambda ids=ids: store.delete("t", ids, key="id"))
            expected = {i: note for i, note in expected.items() if i not in ids}
        elif number % 9 == 8:
            _until_it_works(lambda rows=rows: store.replace("t", _notes(rows)))
            expected = rows
        else:
            _until_it_works(lambda rows=rows: store.upsert("t", _notes(rows), key="id"))
            expected |= rows
        assert _until_it_works(lambda: _content(store)) == expected
    assert all(proxy.befallen[fault] for fault in _OFTEN)


def _until_it_works(call: Callable[[], _Result]) -> _Result:
    for _ in range(5):
        with suppress(ServiceError):
            return call()
    return call()

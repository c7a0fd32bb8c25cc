from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from featurestore.errors import StoreError
from featurestore.jobs.committer import CommitTarget, Committer
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.receipts import (
    DamagedSegmentError,
    Receipt,
    TableRow,
    read_receipts,
    read_segment,
    remove_segments,
    runs_with_segments,
    write_segment,
)
from featurestore.schema import TEXTS
from featurestore.spec import PlainTextSpec, table_name
from featurestore.stores.memory import MemoryObjects, MemoryStore

_SPEC = PlainTextSpec(feature="f", view="text", entity="item", fields=("title",), template_digest="t")
_TABLE = table_name(_SPEC)


def _row(entity_id: str, run_id: str = "r1", text: str = "x\u2028 \n y") -> dict[str, Any]:
    return {
        "id": entity_id,
        "status": "ok",
        "text": text,
        "fingerprint": "f",
        "attempts": 1,
        "run_id": run_id,
    }


def _rows(*ids: str, run_id: str = "r1") -> list[TableRow]:
    return [(_TABLE, _row(entity_id, run_id)) for entity_id in ids]


@contextmanager
def _committer(store: MemoryStore, folder: Path, run_id: str) -> Generator[Committer]:
    with (
        FeatureLock(store.objects, _TABLE) as lock,
        Committer(store, [CommitTarget(_SPEC, TEXTS, lock)], folder=folder, run_id=run_id) as committer,
    ):
        yield committer


def _ids(store: MemoryStore) -> list[str]:
    return sorted(store.read(_TABLE, columns=["id"])["id"].to_pylist())


def test_a_segment_comes_back_as_it_was_written() -> None:
    objects = MemoryObjects()
    receipt = write_segment(objects, "r1", "000001", "a", _rows("i1", "i2"))
    assert (receipt.num_rows, receipt.tables) == (2, (_TABLE,))
    assert read_receipts(objects, "r1") == [receipt]
    assert read_segment(objects, receipt) == _rows("i1", "i2")
    assert runs_with_segments(objects) == ["r1"]
    remove_segments(objects, "r1")
    assert objects.list("") == []


def test_of_two_attempts_the_first_receipt_wins() -> None:
    objects = MemoryObjects()
    first = write_segment(objects, "r1", "000001", "a", _rows("i1"))
    assert write_segment(objects, "r1", "000001", "b", _rows("i1", "i2")) == first
    assert write_segment(objects, "r1", "000001", "a", _rows("i1")) == first
    assert read_receipts(objects, "r1") == [first]


def test_an_attempt_has_one_segment() -> None:
    objects = MemoryObjects()
    write_segment(objects, "r1", "000001", "a", _rows("i1"))
    with pytest.raises(StoreError, match="attempt 'a' at shard '000001' has written another segment before"):
        write_segment(objects, "r1", "000001", "a", _rows("i2"))


@pytest.mark.parametrize("position", range(0, 300, 7))
def test_a_damaged_segment_is_never_read(position: int) -> None:
    objects = MemoryObjects()
    receipt = write_segment(objects, "r1", "000001", "a", _rows("i1", "i2"))
    data = bytearray(objects.read(receipt.segment))
    data[position % len(data)] ^= 1
    for damaged in (bytes(data), bytes(data[: position % len(data)])):
        objects.delete(receipt.segment)
        objects.put_new(receipt.segment, damaged)
        with pytest.raises(DamagedSegmentError, match=r"is damaged: [012] of 2 rows are intact"):
            read_segment(objects, receipt)


def test_committed_segments_go(tmp_path: Path) -> None:
    store = MemoryStore()
    receipts = [write_segment(store.objects, "r1", shard, "a", _rows(f"i{shard}")) for shard in "123"]
    write_segment(store.objects, "r1", "3", "b", _rows("i3"))
    with _committer(store, tmp_path, "r1") as committer:
        for receipt in receipts:
            committer.add_segment(receipt)
    assert _ids(store) == ["i1", "i2", "i3"]
    assert store.objects.list("segments/") == []


def _damage(objects: MemoryObjects, receipt: Receipt) -> None:
    data = objects.read(receipt.segment)
    objects.delete(receipt.segment)
    objects.put_new(receipt.segment, data[:-5])


def test_segments_of_an_interrupted_run_are_recovered(tmp_path: Path) -> None:
    store = MemoryStore()
    write_segment(store.objects, "r1", "1", "a", _rows("i1", "i2"))
    _damage(store.objects, write_segment(store.objects, "r1", "2", "a", _rows("i3")))
    store.objects.put_new("segments/r1/3.a.log", b"an attempt that never got its receipt")
    with _committer(store, tmp_path, "r2") as committer:
        assert committer.recover() == 2
        assert committer.recover() == 0
    assert _ids(store) == ["i1", "i2"]
    assert store.objects.list("segments/") == []


def test_recovery_never_replaces_newer_rows(tmp_path: Path) -> None:
    store = MemoryStore()
    with _committer(store, tmp_path, "r2") as committer:
        committer.add(_TABLE, _row("i1", "r2", "newer"))
    write_segment(store.objects, "r1", "1", "a", _rows("i1", "i2"))
    with _committer(store, tmp_path, "r3") as committer:
        assert committer.recover() == 1
    assert store.read(_TABLE, ids=["i1"])["text"].to_pylist() == ["newer"]


def test_segments_of_other_jobs_are_left_alone(tmp_path: Path) -> None:
    store = MemoryStore()
    write_segment(store.objects, "r1", "1", "a", [("text.other", _row("i1"))])
    write_segment(store.objects, "r2", "1", "a", [])
    store.objects.put_new("segments/r3/1.a.log", b"unreadable")
    kept = store.objects.list("segments/")
    with _committer(store, tmp_path, "r4") as committer:
        assert committer.recover() == 0
    assert store.objects.list("segments/") == kept

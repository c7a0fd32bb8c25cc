import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.jobs.log import RunLog, find_logs, read_records

_RECORDS = [{"id": f"i{n}", "text": f"zwölf \ud83d \n {n}"} for n in range(5)]


def _written(folder: Path, records: list[dict[str, str]]) -> Path:
    log = RunLog(folder, "run")
    for record in records:
        log.append(record)
    log.flush()
    log.close()
    return log.path


def test_flushed_records_come_back_in_order(tmp_path: Path) -> None:
    assert list(read_records(_written(tmp_path, _RECORDS))) == _RECORDS


def test_appended_records_are_not_on_disk_before_flush(tmp_path: Path) -> None:
    log = RunLog(tmp_path, "run")
    log.append(_RECORDS[0])
    assert list(read_records(log.path)) == []
    log.flush()
    assert list(read_records(log.path)) == _RECORDS[:1]
    log.close()


@given(cut=st.integers(min_value=0, max_value=2000), flip=st.integers(min_value=0, max_value=2000))
def test_a_damaged_log_yields_only_intact_records(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    path = _written(tmp_path_factory.mktemp("log"), _RECORDS)
    data = bytearray(path.read_bytes()[: max(cut, 1)])
    data[flip % len(data)] ^= 1
    path.write_bytes(data)
    assert all(record in _RECORDS for record in read_records(path))


def test_every_truncation_keeps_all_records_before_it(tmp_path: Path) -> None:
    path = _written(tmp_path, _RECORDS)
    data = path.read_bytes()
    ends = [n + 1 for n, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert list(read_records(path)) == _RECORDS[:whole]


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_costs_its_own_record_at_most_and_the_next(tmp_path: Path, bit: int) -> None:
    path = _written(tmp_path, _RECORDS)
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        hit = data[:position].count(b"\n")
        found = list(read_records(path))
        assert all(record in _RECORDS for record in found)
        # A flipped line end joins two records; any other bit belongs to one.
        spared = [record for n, record in enumerate(_RECORDS) if n not in (hit, hit + 1)]
        assert [record for record in found if record in spared] == spared


def test_a_torn_tail_loses_only_the_last_record(tmp_path: Path) -> None:
    path = _written(tmp_path, _RECORDS)
    path.write_bytes(path.read_bytes()[:-3])
    assert list(read_records(path)) == _RECORDS[:-1]


def test_a_log_is_never_continued(tmp_path: Path) -> None:
    _written(tmp_path, _RECORDS)
    with pytest.raises(FileExistsError):
        RunLog(tmp_path, "run")


def test_a_full_disk_leaves_the_last_good_flush_and_keeps_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(tmp_path, "run")
    log.append(_RECORDS[0])
    log.flush()
    log.append(_RECORDS[1])
    real_write = os.write

    def write_half_then_fail(descriptor: int, data: bytes) -> int:
        real_write(descriptor, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half_then_fail)
        with pytest.raises(OSError, match="No space left"):
            log.flush()
    assert list(read_records(log.path)) == _RECORDS[:1]
    log.flush()
    assert list(read_records(log.path)) == _RECORDS[:2]
    log.remove()
    assert find_logs(tmp_path) == []


def test_logs_are_found_oldest_first(tmp_path: Path) -> None:
    for name in ["20260102-b", "20260101-a"]:
        RunLog(tmp_path, name).close()
    assert [path.stem for path in find_logs(tmp_path)] == ["20260101-a", "20260102-b"]
    assert find_logs(tmp_path / "absent") == []

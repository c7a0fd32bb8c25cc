import errno
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore.errors import LockHeldError, StorageFullError
from featurestore.features import FeatureRegistry
from featurestore.jobs.committer import CommitPace, CommitTarget, Committer
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.log import RunLog, find_logs
from featurestore.jobs.owner import this_process
from featurestore.objects import LocalObjects
from featurestore.schema import TEXTS
from featurestore.spec import PlainTextSpec, table_name
from featurestore.store import TableVersion
from featurestore.stores.memory import MemoryStore

_SPEC = PlainTextSpec(feature="f", view="text", entity="item", fields=("title",), template_digest="t")
_TABLE = table_name(_SPEC)
_NEVER = CommitPace(flush_seconds=1e9, commit_seconds=1e9, commit_rows=10**9)
_ALWAYS = CommitPace(flush_seconds=0.0, commit_seconds=0.0)


class _FullStore(MemoryStore):
    def upsert(self, table: str, rows: pa.Table, *, key: str) -> TableVersion:
        raise OSError(errno.ENOSPC, "No space left on device")


def _row(entity_id: str, run_id: str = "r1", text: str = "x") -> dict[str, Any]:
    return {
        "id": entity_id,
        "status": "ok",
        "text": text,
        "fingerprint": "f",
        "attempts": 1,
        "run_id": run_id,
    }


def _texts(store: MemoryStore) -> dict[str, str]:
    rows = store.read(_TABLE, columns=["id", "text"])
    assert len(set(rows["id"].to_pylist())) == rows.num_rows
    return dict(zip(rows["id"].to_pylist(), rows["text"].to_pylist(), strict=True))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[CommitTarget]:
    with FeatureLock(LocalObjects(tmp_path), _TABLE) as lock:
        yield CommitTarget(_SPEC, TEXTS, lock)


def _committer(
    store: MemoryStore, target: CommitTarget, folder: Path, run_id: str = "r1", pace: CommitPace = _NEVER
) -> Committer:
    return Committer(store, [target], folder=folder, run_id=run_id, pace=pace)


def _logs(folder: Path) -> list[Path]:
    return find_logs(folder / _TABLE)


def test_leaving_commits_every_row_registers_the_spec_and_leaves_no_log(
    tmp_path: Path, target: CommitTarget
) -> None:
    store = MemoryStore()
    with _committer(store, target, tmp_path) as committer:
        for n in range(10):
            committer.add(_TABLE, _row(f"i{n}"))
    assert len(_texts(store)) == committer.num_committed == 10
    assert FeatureRegistry(store).head("text", "f", "text").spec == _SPEC
    assert _logs(tmp_path) == []


def test_an_interrupted_block_still_commits(tmp_path: Path, target: CommitTarget) -> None:
    store = MemoryStore()

    def interrupted_job() -> None:
        with _committer(store, target, tmp_path) as committer:
            committer.add(_TABLE, _row("i1"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_job()
    assert _texts(store) == {"i1": "x"}


def test_due_rows_are_committed_while_the_job_goes_on(tmp_path: Path, target: CommitTarget) -> None:
    store = MemoryStore()
    with _committer(store, target, tmp_path, pace=_ALWAYS) as committer:
        committer.add(_TABLE, _row("i1"))
        committer.tick()
        deadline = time.monotonic() + 10
        while committer.num_committed == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert _texts(store) == {"i1": "x"}


def test_large_batches_are_committed_in_bounded_upserts(tmp_path: Path, target: CommitTarget) -> None:
    store = MemoryStore()
    with _committer(store, target, tmp_path) as committer:
        for n in range(9000):
            committer.add(_TABLE, _row(f"i{n}"))
    latest = store.latest(_TABLE)
    assert latest is not None
    assert (latest.version, latest.num_rows) == (3, 9000)


def test_flushed_rows_of_a_dead_run_are_replayed(tmp_path: Path, target: CommitTarget) -> None:
    log = RunLog(tmp_path / _TABLE, "r1-000001")
    for entity_id in ["i1", "i2"]:
        log.append(_row(entity_id))
    log.flush()
    log.close()
    with log.path.open("ab") as torn:
        torn.write(b"deadbeef {")
    store = MemoryStore()
    with _committer(store, target, tmp_path, run_id="r2") as committer:
        assert committer.recover() == 2
        assert committer.recover() == 0
    assert _texts(store) == {"i1": "x", "i2": "x"}
    assert _logs(tmp_path) == []


def test_replay_never_overwrites_a_later_run(tmp_path: Path, target: CommitTarget) -> None:
    store = MemoryStore()
    store.upsert(_TABLE, pa.Table.from_pylist([_row("i1", "r2", "newer")], schema=TEXTS), key="id")
    log = RunLog(tmp_path / _TABLE, "r1-000001")
    log.append(_row("i1", "r1", "older"))
    log.append(_row("i2", "r1", "older"))
    log.flush()
    log.close()
    with _committer(store, target, tmp_path, run_id="r3") as committer:
        assert committer.recover() == 1
    assert _texts(store) == {"i1": "newer", "i2": "older"}


def test_a_full_store_disk_keeps_the_rows_in_the_log(tmp_path: Path, target: CommitTarget) -> None:
    committer = _committer(_FullStore(), target, tmp_path)
    committer.add(_TABLE, _row("i1"))
    with pytest.raises(StorageFullError, match=r"no space left on the device.*\n.*run the command again"):
        committer.close()
    store = MemoryStore()
    with _committer(store, target, tmp_path, run_id="r2") as again:
        assert again.recover() == 1
    assert _texts(store) == {"i1": "x"}


def test_closing_waits_for_every_commit_though_some_fail(tmp_path: Path) -> None:
    """A commit that goes on after its owner has let go of the lock would disturb the next owner."""
    names = [f"v{number}" for number in range(8)]
    specs = [_SPEC.model_copy(update={"view": name}) for name in names]

    class FirstFails(MemoryStore):
        def upsert(self, table: str, rows: pa.Table, *, key: str) -> TableVersion:
            time.sleep(0.01)
            if table == table_name(specs[0]):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().upsert(table, rows, key=key)

    store = FirstFails()
    with ExitStack() as locks:
        targets = [
            CommitTarget(
                spec, TEXTS, locks.enter_context(FeatureLock(LocalObjects(tmp_path), table_name(spec)))
            )
            for spec in specs
        ]
        committer = Committer(store, targets, folder=tmp_path, run_id="r1", pace=_NEVER)
        for spec in specs:
            committer.add(table_name(spec), _row("i1"))
        with pytest.raises(StorageFullError):
            committer.close()
        assert sorted(set(store.tables()) & {table_name(spec) for spec in specs}) == sorted(
            table_name(spec) for spec in specs[1:]
        )


def test_a_full_log_disk_does_not_keep_rows_from_the_store(
    tmp_path: Path, target: CommitTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = MemoryStore()
    committer = _committer(store, target, tmp_path)
    committer.add(_TABLE, _row("i1"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        with pytest.raises(StorageFullError):
            committer.close()
    assert _texts(store) == {"i1": "x"}


def test_a_fenced_off_job_commits_nothing(tmp_path: Path, target: CommitTarget) -> None:
    store = MemoryStore()
    committer = _committer(store, target, tmp_path)
    committer.add(_TABLE, _row("i1"))
    LocalObjects(tmp_path).put_new(
        f"locks/{_TABLE}/000000002.owner", this_process().model_dump_json().encode()
    )
    with pytest.raises(LockHeldError, match=r"lost its lock on .* it commits nothing more"):
        committer.close()
    assert store.tables() == []


def test_an_error_of_the_committing_thread_reaches_the_job(tmp_path: Path, target: CommitTarget) -> None:
    committer = _committer(_FullStore(), target, tmp_path, pace=_ALWAYS)
    committer.add(_TABLE, _row("i1"))

    def work_on() -> None:
        for _ in range(1000):
            committer.tick()
            time.sleep(0.01)

    with pytest.raises(StorageFullError):
        work_on()
    committer.close()


def test_deleted_entities_leave_the_table(tmp_path: Path, target: CommitTarget) -> None:
    store = MemoryStore()
    store.upsert(_TABLE, pa.Table.from_pylist([_row("i1"), _row("i2")], schema=TEXTS), key="id")
    with _committer(store, target, tmp_path, run_id="r2") as committer:
        committer.delete(_TABLE, ["i1"])
    assert _texts(store) == {"i2": "x"}

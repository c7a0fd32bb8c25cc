import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from featurestore.errors import LockHeldError, StorageFullError
from featurestore.jobs import owner as owner_module
from featurestore.jobs.lock import FeatureLock, wait_for_lock
from featurestore.jobs.owner import LockOwner, this_process
from featurestore.objects import LocalObjects
from featurestore.store import ObjectStore
from featurestore.stores.memory import MemoryObjects

_HOLD = """
import sys, time
from pathlib import Path
from featurestore.jobs.lock import FeatureLock
from featurestore.objects import LocalObjects
with FeatureLock(LocalObjects(Path(sys.argv[1])), "t"):
    print("held", flush=True)
    time.sleep(60)
"""
_YEAR = 365 * 86_400.0


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock ``t`` of the folder."""
    arguments = [sys.executable, "-c", _HOLD, str(tmp_path)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def _put_foreign_owner(objects: ObjectStore, *, beats: int = 1) -> None:
    """A lock held by a process of a machine whose clock and pids say nothing here."""
    elsewhere = this_process().model_copy(update={"host": "far", "boot_id": "other", "pid": 1})
    objects.put_new("locks/t/000000001.owner", elsewhere.model_dump_json().encode())
    for number in range(1, beats + 1):
        objects.put_new(f"locks/t/000000001.beat-{number:09d}", b"12345678.0")


def test_a_second_job_is_told_who_holds_the_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(LockHeldError, match=rf"another job works on t: .*, pid {holder.pid} on .*, since 20"):
        FeatureLock(LocalObjects(tmp_path), "t").__enter__()


def test_a_killed_owner_is_replaced_and_the_epoch_grows(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.kill()
    holder.wait()
    for epoch in (2, 3):
        with FeatureLock(LocalObjects(tmp_path), "t") as lock:
            assert lock.epoch == epoch
    assert LocalObjects(tmp_path).list("locks/") == ["locks/t/000000003.owner", "locks/t/000000003.released"]


def test_other_names_do_not_block_each_other() -> None:
    objects = MemoryObjects()
    with FeatureLock(objects, "a"), FeatureLock(objects, "b") as lock:
        lock.check()


def test_an_owner_that_slept_past_its_lease_is_fenced_off(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = MemoryObjects()
    with FeatureLock(objects, "t") as sleeper:
        sleeper.check()
        now = time.monotonic()
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: now + 1000)
            taker = FeatureLock(objects, "t").__enter__()
        with pytest.raises(LockHeldError, match=r"lost its lock on t to .*; it commits nothing more"):
            sleeper.check()
        taker.check()
    taker.check()
    taker.release()
    assert FeatureLock(objects, "t").__enter__().epoch == 3


@pytest.mark.parametrize("jump", [_YEAR, -_YEAR])
def test_a_clock_jump_steals_no_living_lock(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    objects, real_time = MemoryObjects(), time.time
    with FeatureLock(objects, "t") as lock:
        monkeypatch.setattr(time, "time", lambda: real_time() + jump)
        with pytest.raises(LockHeldError):
            FeatureLock(objects, "t").__enter__()
        lock.check()


@pytest.mark.parametrize("jump", [_YEAR, -_YEAR])
def test_a_clock_jump_keeps_no_dead_lock(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    holder.kill()
    holder.wait()
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + jump)
    for path in (tmp_path / "locks" / "t").iterdir():
        os.utime(path, (real_time() + jump, real_time() + jump))
    with FeatureLock(LocalObjects(tmp_path), "t") as lock:
        assert lock.epoch == 2


def test_a_silent_owner_elsewhere_is_replaced_after_one_lease() -> None:
    objects = MemoryObjects()
    _put_foreign_owner(objects)
    started = time.monotonic()
    with FeatureLock(objects, "t", lease_seconds=0.3) as lock:
        assert lock.epoch == 2
    assert time.monotonic() - started >= 0.3


def test_a_living_owner_elsewhere_is_believed_whatever_its_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objects = MemoryObjects()
    with FeatureLock(objects, "t", lease_seconds=1.0) as lock, monkeypatch.context() as patch:
        patch.setattr(owner_module, "_boot_id", lambda: "another machine")
        with pytest.raises(LockHeldError, match="another job works on t"):
            FeatureLock(objects, "t", lease_seconds=5.0).__enter__()
        lock.check()


def test_an_owner_that_cannot_be_read_is_judged_by_its_heartbeats() -> None:
    objects = MemoryObjects()
    objects.put_new("locks/t/000000001.owner", b"{}")
    with FeatureLock(objects, "t", lease_seconds=0.2) as lock:
        assert lock.epoch == 2
        objects.put_new("locks/t/000000003.owner", b"{}")
        with pytest.raises(LockHeldError, match="lost its lock on t to a user of another version"):
            lock.check()


def test_a_used_again_pid_does_not_count_as_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = MemoryObjects()
    earlier: LockOwner = this_process().model_copy(update={"process_started": "1"})
    with monkeypatch.context() as patch:
        patch.setattr("featurestore.jobs.lock.this_process", lambda: earlier)
        FeatureLock(objects, "t").__enter__()
    with FeatureLock(objects, "t") as second:
        assert second.epoch == 2


def test_of_many_that_try_at_once_one_gets_it(tmp_path: Path) -> None:
    def attempt(_: int) -> FeatureLock | None:
        try:
            return FeatureLock(LocalObjects(tmp_path), "t").__enter__()
        except LockHeldError:
            return None

    with ThreadPoolExecutor(8) as pool:
        winners = [lock for lock in pool.map(attempt, range(32)) if lock is not None]
    assert len(winners) == 1
    winners[0].release()


def test_short_locks_are_waited_for() -> None:
    objects, inside, most = MemoryObjects(), [0], [0]

    def work(_: int) -> None:
        with wait_for_lock(objects, "t", patience_seconds=30, lease_seconds=30) as lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            lock.check()
            inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert most == [1]


def test_patience_ends() -> None:
    objects = MemoryObjects()
    with (
        FeatureLock(objects, "t"),
        pytest.raises(LockHeldError, match="another job works on t"),
        wait_for_lock(objects, "t", patience_seconds=0.1, lease_seconds=30),
    ):
        pass


def test_a_lock_that_cannot_be_released_hides_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(MemoryObjects):
        def put_new(self, path: str, data: bytes) -> bool:
            if path.endswith(".released"):
                raise StorageFullError("no space left")
            return super().put_new(path, data)

    def failing_job() -> None:
        with FeatureLock(Full(), "t"):
            raise KeyError("the reason")

    with pytest.raises(KeyError):
        failing_job()

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from featurestore.errors import LockHeldError
from featurestore.jobs.lock import FeatureLock

_HOLD = """
import sys, time
from pathlib import Path
from featurestore.jobs.lock import FeatureLock
with FeatureLock(Path(sys.argv[1]), "t"):
    print("held", flush=True)
    time.sleep(60)
"""


def _holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_a_second_job_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    process = _holder(tmp_path)
    try:
        with pytest.raises(
            LockHeldError, match=rf"another job works on t: .*, pid {process.pid} on .*, since 20"
        ):
            FeatureLock(tmp_path, "t").__enter__()
    finally:
        process.kill()
        process.wait()


def test_a_killed_owner_is_replaced_and_the_epoch_grows(tmp_path: Path) -> None:
    process = _holder(tmp_path)
    process.kill()
    process.wait()
    with FeatureLock(tmp_path, "t") as lock:
        assert lock.epoch == 2
    with FeatureLock(tmp_path, "t") as lock:
        assert lock.epoch == 3
    assert len(list((tmp_path / "t").glob("*.json"))) == 1


def test_other_names_do_not_block_each_other(tmp_path: Path) -> None:
    with FeatureLock(tmp_path, "a"), FeatureLock(tmp_path, "b") as lock:
        lock.check()


def test_an_owner_that_slept_past_its_lease_is_fenced_off(tmp_path: Path) -> None:
    sleeper = FeatureLock(tmp_path, "t", lease_seconds=1000)
    with sleeper:
        sleeper.check()
        path = next((tmp_path / "t").glob("*.json"))
        os.utime(path, (time.time() - 2000, time.time() - 2000))
        with FeatureLock(tmp_path, "t", lease_seconds=1000) as taker:
            with pytest.raises(LockHeldError, match=r"lost its lock on t to .*; it commits nothing more"):
                sleeper.check()
            taker.check()
    with pytest.raises(LockHeldError):
        sleeper.check()


def test_a_used_again_pid_does_not_count_as_the_owner(tmp_path: Path) -> None:
    with FeatureLock(tmp_path, "t"):
        path = next((tmp_path / "t").glob("*.json"))
        owner = json.loads(path.read_text())
        path.write_text(json.dumps({**owner, "process_started": "1"}))
        with FeatureLock(tmp_path, "t") as second:
            assert second.epoch == 2


def test_of_many_that_try_at_once_one_gets_it(tmp_path: Path) -> None:
    def attempt(_: int) -> FeatureLock | None:
        try:
            return FeatureLock(tmp_path, "t").__enter__()
        except LockHeldError:
            return None

    with ThreadPoolExecutor(8) as pool:
        winners = [lock for lock in pool.map(attempt, range(32)) if lock is not None]
    assert len(winners) == 1
    winners[0].__exit__(None, None, None)

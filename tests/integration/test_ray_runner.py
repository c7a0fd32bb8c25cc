"""Many engines on a local Ray: killed actors, dying engines and poisonous shards lose and double nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from generation_world import STAGES, catalogue, put_items, rows_of, run

from featurestore.jobs.runcard import list_runs, read_run_card
from featurestore.stores import connect

pytestmark = [pytest.mark.slow, pytest.mark.ray]

_NUM_ITEMS = 60
_SHARD_SIZE = 10

_JOB = f"""
import json, os, signal, sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from generation_world import run
from featurestore.errors import FeatureStoreError, SetupError
from featurestore.stores import connect
from llm_jobs.engines import OpenModel
from llm_jobs.engines.echo import EchoEngine, EchoOptions
from llm_jobs.models import find_model, model_spec
from llm_jobs.runners.ray_data import RayOptions, RayRunner

folder, fault = Path(sys.argv[1]), sys.argv[2]

class Engine(EchoEngine):
    # Keeps what it was asked, and breaks down as the test wants it to.
    def __init__(self, folder, fault):
        super().__init__(EchoOptions(latency_seconds=0.05, concurrency=8))
        self.folder, self.fault = folder, fault
        self.asked = os.open(folder / "asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(os.open(folder / "actors", os.O_WRONLY | os.O_CREAT | os.O_APPEND), b"%d\\n" % os.getpid())

    def submit(self, requests):
        for request in requests:
            os.write(self.asked, (request.key + "\\n").encode())
            told = request.messages[1].content
            if self.fault == "once" and "number 33" in told and not (self.folder / "died").exists():
                (self.folder / "died").touch()
                raise SetupError("the engine's process has died.")
            if self.fault == "always" and "number 33" in told:
                raise SetupError("the engine's process has died.")
        super().submit(requests)

@contextmanager
def open_engine(folder, fault):
    entry = find_model("echo", {{}})
    yield OpenModel(entry, model_spec(entry), Engine(folder, fault))

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    store = str(folder / "store")
    options = RayOptions(num_engines=2, shard_size={_SHARD_SIZE})
    runner = RayRunner(store, partial(open_engine, folder, fault), options)
    try:
        report = run(connect(store), folder / "work", runner=runner)
        print(json.dumps(dict(requests=report.requests, recovered=report.recovered)))
    except FeatureStoreError as error:
        print(json.dumps(dict(error=str(error), exit_code=error.exit_code)))
"""


def _start(folder: Path, fault: str) -> subprocess.Popen[str]:
    put_items(connect(str(folder / "store")), catalogue(_NUM_ITEMS))
    script = folder / "job.py"
    script.write_text(_JOB)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(script), str(folder), fault]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return json.loads(told.splitlines()[-1])


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _wait_for_requests(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90.0
    while len(_lines(folder / "asked")) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "the job ended before it was hurt"


def _assert_whole(folder: Path) -> None:
    for stage in STAGES:
        rows = rows_of(connect(str(folder / "store")), stage)
        assert sorted(rows) == sorted(catalogue(_NUM_ITEMS))
        assert {(row["status"], row["engine"]) for row in rows.values()} == {("ok", "echo-1-cpu")}
    assert connect(str(folder / "store")).objects.list("segments/") == []


def _assert_no_process_left(folder: Path) -> None:
    deadline = time.monotonic() + 60.0
    while (left := [pid for pid in _lines(folder / "actors") if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def _lives(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_killed_actor_is_replaced_and_no_row_is_lost_or_doubled(tmp_path: Path) -> None:
    process = _start(tmp_path, "none")
    # No shard can be done by then: the actor is in the midst of its first one, not between two.
    _wait_for_requests(tmp_path, 2 * _SHARD_SIZE, process)
    os.kill(int(_lines(tmp_path / "actors")[0]), signal.SIGKILL)
    assert _result(process)["requests"] == 3 * _NUM_ITEMS
    _assert_whole(tmp_path)
    assert len(_lines(tmp_path / "actors")) == 3
    asked = _lines(tmp_path / "asked")
    assert len(set(asked)) == 3 * _NUM_ITEMS
    assert len(asked) <= 3 * (_NUM_ITEMS + _SHARD_SIZE)
    _assert_no_process_left(tmp_path)


def test_an_engine_that_dies_costs_its_actor_and_the_shard_is_repeated(tmp_path: Path) -> None:
    assert _result(_start(tmp_path, "once"))["requests"] == 3 * _NUM_ITEMS
    _assert_whole(tmp_path)
    assert len(_lines(tmp_path / "actors")) == 3
    _assert_no_process_left(tmp_path)


def test_a_shard_that_kills_every_engine_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    result = _result(_start(tmp_path, "always"))
    assert result["exit_code"] == 12
    assert "1 shards failed, the others are done: 000003-" in result["error"]
    assert "(10 entities, 3 attempts): SetupError: the engine's process has died." in result["error"]
    store = connect(str(tmp_path / "store"))
    assert len(rows_of(store, "fused")) == _NUM_ITEMS - _SHARD_SIZE
    assert read_run_card(store, list_runs(store)[-1]).status == "failed"
    assert run(store, tmp_path / "work").requests == 3 * _SHARD_SIZE
    _assert_whole(tmp_path)
    _assert_no_process_left(tmp_path)


def test_a_terminated_run_commits_the_shards_that_are_done(tmp_path: Path) -> None:
    process = _start(tmp_path, "none")
    store = connect(str(tmp_path / "store"))
    _wait_for_requests(tmp_path, 3 * 3 * _SHARD_SIZE, process)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert store.objects.list("segments/") == []
    stored = len(rows_of(store, "fused"))
    assert stored >= _SHARD_SIZE
    _assert_no_process_left(tmp_path)
    assert run(store, tmp_path / "work").requests == 3 * (_NUM_ITEMS - stored)
    _assert_whole(tmp_path)


def test_a_run_whose_driver_is_killed_is_continued_from_its_receipts(tmp_path: Path) -> None:
    process = _start(tmp_path, "none")
    store = connect(str(tmp_path / "store"))
    _wait_for_requests(tmp_path, 3 * 3 * _SHARD_SIZE, process)
    process.kill()
    process.communicate()
    _assert_no_process_left(tmp_path)
    done = sum(path.endswith(".receipt") for path in store.objects.list("segments/"))
    assert done >= 1
    report = run(store, tmp_path / "work")
    assert report.recovered <= 3 * _SHARD_SIZE * done
    assert report.requests == 3 * (_NUM_ITEMS - _SHARD_SIZE * done)
    _assert_whole(tmp_path)

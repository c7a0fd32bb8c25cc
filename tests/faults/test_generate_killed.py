"""A generation that is killed, terminated or interrupted loses nothing and doubles nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from generation_world import STAGES, catalogue, put_items, rows_of

from featurestore.stores import connect

pytestmark = pytest.mark.slow

_NUM_ITEMS = 120
_KILLS = 3
_CONCURRENCY = 8
_LATENCY = 0.05
_FLUSH_SECONDS = 0.2
_SIGNALLED_ITEMS = 1500

_JOB = f"""
import os, sys
from pathlib import Path
from generation_world import CountingEngine, run
from featurestore.jobs.committer import CommitPace
from featurestore.stores import connect
from llm_jobs.engines.echo import EchoOptions

folder = Path(sys.argv[1])
asked = os.open(folder / "asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

class Engine(CountingEngine):
    def submit(self, requests):
        for request in requests:
            os.write(asked, (request.key + "\\n").encode())
        super().submit(requests)

engine = Engine(EchoOptions(latency_seconds={_LATENCY}, concurrency={_CONCURRENCY}))
pace = CommitPace(flush_seconds={_FLUSH_SECONDS}, commit_seconds=0.5, commit_rows=40)
run(connect(str(folder / "store")), folder / "work", engine, pace=pace)
"""


def _asked(folder: Path) -> list[str]:
    path = folder / "asked"
    return path.read_text().split() if path.exists() else []


def _start(folder: Path) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests}
    return subprocess.Popen([sys.executable, "-c", _JOB, str(folder)], env=environment)


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    store = connect(str(tmp_path / "store"))
    put_items(store, catalogue(_NUM_ITEMS))
    for _ in range(_KILLS):
        target = len(_asked(tmp_path)) + draw.randint(5, 90)
        process = _start(tmp_path)
        _wait_for(lambda goal=target: len(_asked(tmp_path)) >= goal, process)
        assert process.poll() is None, "the job ended before it was killed"
        process.kill()
        process.wait()
    process = _start(tmp_path)
    assert process.wait(120) == 0
    for stage in STAGES:
        rows = rows_of(store, stage)
        assert sorted(rows) == sorted(catalogue(_NUM_ITEMS))
        assert {row["status"] for row in rows.values()} == {"ok"}
    assert len(set(_asked(tmp_path))) == 3 * _NUM_ITEMS
    repeated = len(_asked(tmp_path)) - 3 * _NUM_ITEMS
    lost_window = _CONCURRENCY + (_FLUSH_SECONDS + 2 * _LATENCY) * _CONCURRENCY / (0.5 * _LATENCY)
    assert repeated <= _KILLS * lost_window
    assert not list((tmp_path / "work" / "logs").rglob("*.log"))


def _project(folder: Path, num_items: int) -> None:
    pl.DataFrame(
        [{"item_id": item_id, "title": fields["title"]} for item_id, fields in catalogue(num_items).items()]
    ).write_parquet(folder / "items.parquet")
    folder.joinpath("featurestore.toml").write_text(
        '[ingest]\nitems = "items.parquet"\n[generate]\nflush_seconds = 0.1\n'
    )


def _featurestore(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *arguments, "--project", str(folder)]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signalled_command_commits_and_the_next_goes_on(
    tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    _project(tmp_path, _SIGNALLED_ITEMS)
    subprocess.run(_featurestore(tmp_path, "ingest"), check=True, capture_output=True)
    command = _featurestore(tmp_path, "generate", "--prompt", "item_cot", "--model", "echo", "--json")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    logs = tmp_path / ".featurestore" / "logs"
    _wait_for(lambda: any(logs.glob("*.fused.*/*.log")), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == exit_code, errors
    assert "run the command again to go on" in errors
    store = connect(str(tmp_path / "store"))
    stored = sum(len(rows_of(store, stage)) for stage in STAGES)
    assert 0 < stored < 3 * _SIGNALLED_ITEMS
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(again.stdout)
    assert (report["requests"], report["recovered"]) == (3 * _SIGNALLED_ITEMS - stored, 0)
    assert all(len(rows_of(store, stage)) == _SIGNALLED_ITEMS for stage in STAGES)
    assert not list(logs.rglob("*.log"))

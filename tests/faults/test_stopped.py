"""A job that is stopped (SIGSTOP) for longer than its lease is replaced, and refused when it wakes up."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from generation_world import STAGES, catalogue, put_items, rows_of, run

import llm_jobs.generate
from featurestore.errors import LockHeldError
from featurestore.jobs.lock import FeatureLock
from featurestore.stores import connect

pytestmark = pytest.mark.slow

_NUM_ITEMS = 150
_LEASE = 1.0
_JOB = f"""
import sys
from functools import partial
from pathlib import Path
import llm_jobs.generate
from featurestore.errors import LockHeldError
from featurestore.jobs.committer import CommitPace
from featurestore.jobs.lock import FeatureLock
from featurestore.stores import connect
from generation_world import run
from llm_jobs.engines.echo import EchoEngine, EchoOptions

llm_jobs.generate.FeatureLock = partial(FeatureLock, lease_seconds={_LEASE})
engine = EchoEngine(EchoOptions(latency_seconds=0.1, concurrency=8))
pace = CommitPace(flush_seconds=0.05, commit_seconds=0.1)
try:
    run(connect(sys.argv[1] + "/store"), Path(sys.argv[1]) / "work", engine, pace=pace)
except LockHeldError as error:
    sys.exit(f"refused: {{error}}")
"""


def test_a_stopped_owner_is_replaced_and_refused_when_it_wakes_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm_jobs.generate, "FeatureLock", partial(FeatureLock, lease_seconds=_LEASE))
    store = connect(str(tmp_path / "store"))
    put_items(store, catalogue(_NUM_ITEMS))
    owner = _start(tmp_path)
    try:
        _wait_for_rows(tmp_path, owner)
        with pytest.raises(LockHeldError, match=rf"another job works on text\.item_cot\..*pid {owner.pid}"):
            run(store, tmp_path / "work")
        owner.send_signal(signal.SIGSTOP)
        time.sleep(2 * _LEASE)
        report = run(store, tmp_path / "work")
        assert 0 < report.requests < len(STAGES) * _NUM_ITEMS
        before = {stage: rows_of(store, stage) for stage in STAGES}
        owner.send_signal(signal.SIGCONT)
        _, errors = owner.communicate(timeout=60)
    finally:
        owner.kill()
        owner.wait()
    assert owner.returncode == 1
    assert "lost its lock on text.item_cot." in errors
    assert "it commits nothing more" in errors
    assert run(store, tmp_path / "work").requests == 0
    for stage in STAGES:
        assert rows_of(store, stage) == before[stage]
        assert sorted(before[stage]) == sorted(catalogue(_NUM_ITEMS))
        assert {row["status"] for row in before[stage].values()} == {"ok"}
    assert not list((tmp_path / "work").rglob("*.log"))


def _start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", _JOB, str(folder)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def _wait_for_rows(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until a commit has made the first text table."""
    deadline = time.monotonic() + 60
    while not list(folder.glob("store/tables/text.*.lance/_versions/*")) and time.monotonic() < deadline:
        assert process.poll() is None, "the job ended before it was stopped"
        time.sleep(0.02)

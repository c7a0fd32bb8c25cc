"""A generation that is terminated or interrupted commits what it has, and the next one goes on."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from generation_world import STAGES, catalogue, rows_of

from featurestore.stores import connect

pytestmark = pytest.mark.slow

_SIGNALLED_ITEMS = 1500


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


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

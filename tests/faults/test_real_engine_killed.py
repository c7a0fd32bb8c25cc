"""vLLM with a small real model, killed three times: nothing lost, nothing doubled, no process left."""

import json
import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from featurestore import columns as c
from featurestore.features import FeatureRegistry
from featurestore.jobs.log import find_logs, read_records
from featurestore.stores import connect

pytestmark = [
    pytest.mark.real_llm,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
]

_STAGES = ("forward", "backward", "fused")
_KILLS = 3
_ITEMS = 12
_MARK = "FEATURESTORE_TEST_RUN"
_CONFIG = """
[ingest]
items = "items.jsonl"

[generate]
skip_budget = 1.0
max_attempts = 1
max_field_chars = 60
flush_seconds = 0.2
"""
_JOB = """
import os, sys
from pathlib import Path
from cli.main import run
from llm_jobs.engines.vllm_offline import VllmEngine

submit = VllmEngine.submit

def noted_submit(engine, requests):
    with Path(sys.argv[1], "asked").open("a") as asked:
        asked.writelines(f"{request.key}\\n" for request in requests)
    submit(engine, requests)

VllmEngine.submit = noted_submit
if __name__ == "__main__":
    names = ["--prompt", "item_cot", "--model", "smollm2-135m"]
    sys.exit(run(["generate", *names, "--json", "-C", sys.argv[1]]))
"""


def test_three_kills_cost_a_flush_window_each(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    _make_project(tmp_path)
    durable: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(_KILLS):
        asked_before = len(_asked(tmp_path))
        _kill_one(tmp_path, draw)
        asked = _asked(tmp_path)
        known = _durable_rows(tmp_path)
        assert all(known[place] == row for place, row in durable.items())
        durable = known
        flushed = {row[c.REQUEST_KEY] for row in durable.values()}
        # Every item has one request in flight, and perhaps one answer of the last 0.2 seconds.
        assert len(set(asked[asked_before:]) - flushed) <= 2 * _ITEMS
        assert len(set(asked[:asked_before]) & set(asked[asked_before:])) <= 2 * _ITEMS
    flushed = {row[c.REQUEST_KEY] for row in durable.values()}
    asked_before = len(_asked(tmp_path))
    process, mark = _start(tmp_path)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert _left_processes(mark, 30) == []
    assert not flushed & set(_asked(tmp_path)[asked_before:]), "flushed work was repeated"
    assert json.loads(output)["requests"] == len(_STAGES) * _ITEMS - len(durable)
    stored = _stored_rows(tmp_path)
    assert sorted(stored) == sorted((stage, f"i{n:02d}") for stage in _STAGES for n in range(_ITEMS))
    assert all(stored[place] == row for place, row in durable.items())
    assert sum(row[c.STATUS] == c.STATUS_OK for row in stored.values()) > _ITEMS
    assert not list((tmp_path / ".featurestore" / "logs").rglob("*.log"))


def _make_project(folder: Path) -> None:
    items = [{"item_id": f"i{n:02d}", "title": f"Kettle number {n}"} for n in range(_ITEMS)]
    folder.joinpath("items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    folder.joinpath("featurestore.toml").write_text(_CONFIG)
    folder.joinpath("job.py").write_text(_JOB)
    assert run(["ingest", "-C", str(folder)]) == 0


def _kill_one(folder: Path, draw: random.Random) -> None:
    """Kill a run at a random moment after its engine has been asked something."""
    goal = len(_asked(folder)) + draw.randint(1, _ITEMS)
    process, mark = _start(folder)
    deadline = time.monotonic() + 300
    while len(_asked(folder)) < goal and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(draw.uniform(0.0, 3.0))
    assert process.poll() is None, "the run ended before it was killed"
    process.kill()
    process.communicate()
    assert _left_processes(mark, 60) == []


def _start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, str(folder / "job.py"), str(folder)],
        env={**os.environ, _MARK: mark},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, mark


def _asked(folder: Path) -> list[str]:
    path = folder / "asked"
    return path.read_text().split() if path.exists() else []


def _durable_rows(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Stage and id → row, of the store and of logs that wait for recovery."""
    logs = folder / ".featurestore" / "logs"
    rows = _stored_rows(folder)
    for table in logs.iterdir() if logs.exists() else ():
        for path in find_logs(table):
            stage = table.name.split(".")[2]
            rows |= {(stage, row[c.ID]): _essence(row) for row in read_records(path)}
    return rows


def _stored_rows(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    store, found = connect(str(folder / "store")), dict[tuple[str, str], dict[str, Any]]()
    for version in FeatureRegistry(store).heads("text"):
        rows = store.read(version.table).to_pylist()
        stage = version.spec.view
        assert len({row[c.ID] for row in rows}) == len(rows), "a row is doubled"
        found |= {(stage, row[c.ID]): _essence(row) for row in rows}
    return found


def _essence(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in (c.ID, c.STATUS, c.TEXT, c.REQUEST_KEY, c.RUN_ID)}


def _left_processes(mark: str, seconds: float) -> list[int]:
    """Processes that the marked run started, however far down, and that outlive it for so long."""
    deadline = time.monotonic() + seconds
    while (left := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _marked(mark: str) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{_MARK}={mark}".encode() in folder.joinpath("environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found

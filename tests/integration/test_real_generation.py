"""`featurestore generate` with vLLM on CPU: a small real model, and an R1-type folder of random weights."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from tiny_models import write_tiny_reasoner

from featurestore import columns as c
from featurestore.features import FeatureRegistry
from featurestore.stores import connect
from llm_jobs.parse import FailureReason

pytestmark = [pytest.mark.real_llm, pytest.mark.slow]

_STAGES = ("forward", "backward", "fused")
_MARK = "FEATURESTORE_TEST_RUN"
_TYPED = {"upstream_failed", *(reason for part in get_args(FailureReason) for reason in get_args(part))}
_CONFIG = """
[ingest]
items = "items.jsonl"

[generate]
skip_budget = 1.0
max_field_chars = 60

[models.deepseek-r1-14b]
context = 12288
reasoning_tokens = 64
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with five items."""
    names = ["Rose hand cream", "Oak beard oil", "Toy drum", "Steel kettle", "Reading lamp"]
    rows = [{"item_id": f"i{n}", "title": name, "brand": "Northwood"} for n, name in enumerate(names)]
    tmp_path.joinpath("items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tmp_path.joinpath("featurestore.toml").write_text(_CONFIG)
    assert _run(tmp_path, "ingest").returncode == 0
    return tmp_path


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *arguments]


def _run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments, "-C", str(project)), capture_output=True, text=True, timeout=550, check=False
    )


def _texts(project: Path, view: str) -> pl.DataFrame:
    store = connect(str(project / "store"))
    return pl.DataFrame(store.read(FeatureRegistry(store).head("text", "item_cot", view).table)).sort(c.ID)


def _marked_processes(mark: str) -> list[int]:
    """Processes that were started, however far down, by the run with this mark."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = folder.joinpath("environ").read_bytes()
        except OSError:
            continue
        if f"{_MARK}={mark}".encode() in environment:
            found.append(int(folder.name))
    return found


def _has_worker(mark: str) -> bool:
    names = [Path(f"/proc/{process}/cmdline") for process in _marked_processes(mark)]
    return any(b"Worker" in name.read_bytes() for name in names if name.exists())


def _wait_until_gone(mark: str, seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while (left := _marked_processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def test_a_real_model_writes_all_stages_and_reuses_its_prefix(project: Path) -> None:
    ran = _run(project, "generate", "--prompt", "item_cot", "--model", "smollm2-135m", "--json")
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = json.loads(ran.stdout)
    assert {stage: sum(report["outcomes"][stage].values()) for stage in _STAGES} == dict.fromkeys(_STAGES, 5)
    for stage in _STAGES:
        rows = _texts(project, stage)
        assert rows[c.ID].to_list() == [f"i{n}" for n in range(5)]
        ok = rows.filter(pl.col(c.STATUS) == c.STATUS_OK)
        assert ok.height >= 3, rows.select(c.STATUS, c.REASON, c.RAW)
        assert ok[c.TEXT].str.len_chars().min() > 0
        assert set(ok[c.ENGINE]) == {ok[c.ENGINE][0]}
        assert ok[c.ENGINE][0].startswith("vllm-")
        if stage != "forward":
            # Everything but the last block of the turn before comes from the cache.
            assert (ok[c.CACHED_TOKENS] > 0).all()
            assert ok[c.CACHED_TOKENS].sum() > 0.5 * ok[c.PROMPT_TOKENS].sum()
    started = time.monotonic()
    again = _run(project, "generate", "--prompt", "item_cot", "--model", "smollm2-135m")
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert time.monotonic() - started < 30  # no engine was started


def test_an_r1_type_folder_runs_the_documented_command(project: Path, tmp_path: Path) -> None:
    folder = write_tiny_reasoner(tmp_path / "r1")
    mark = uuid.uuid4().hex
    ran = subprocess.run(
        _command(
            *("generate", "--prompt", "item_cot", "--model", "deepseek-r1-14b", "--json"),
            *("--model-folder", str(folder), "-C", str(project)),
        ),
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
        env={**os.environ, _MARK: mark},
    )
    assert ran.returncode == 0, ran.stderr
    for stage in _STAGES:
        rows = _texts(project, stage)
        assert rows[c.ID].to_list() == [f"i{n}" for n in range(5)]
        failed = rows.filter(pl.col(c.STATUS) == c.STATUS_FAILED)
        assert set(failed[c.REASON]) <= _TYPED
        assert not rows[c.TEXT].drop_nulls().str.contains("think>").any()
    assert _wait_until_gone(mark, 20) == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_no_process_outlives_an_interrupted_run(
    project: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    mark = uuid.uuid4().hex
    process = _start_long_run(project, tmp_path, mark)
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as the terminal does
    else:
        process.send_signal(sent)
    assert process.wait(60) == code
    assert _wait_until_gone(mark, 20) == []


def test_no_process_outlives_a_killed_run(project: Path, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    process = _start_long_run(project, tmp_path, mark)
    process.kill()
    process.wait(10)
    assert _wait_until_gone(mark, 60) == []


def _start_long_run(project: Path, tmp_path: Path, mark: str) -> subprocess.Popen[bytes]:
    """Start a generation that thinks for long, and wait until its engine has a worker."""
    config = project / "featurestore.toml"
    config.write_text(config.read_text().replace("reasoning_tokens = 64", "reasoning_tokens = 4000"))
    folder = write_tiny_reasoner(tmp_path / "r1", ends=False)
    process = subprocess.Popen(
        _command(
            *("generate", "--prompt", "item_cot", "--model", "deepseek-r1-14b"),
            *("--model-folder", str(folder), "-C", str(project)),
        ),
        env={**os.environ, _MARK: mark},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not _has_worker(mark) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(5)
    assert process.poll() is None, "the run ended before it was interrupted"
    return process

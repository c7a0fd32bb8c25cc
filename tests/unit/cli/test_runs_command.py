"""``featurestore runs``, and what machines see of a run: JSON log and metrics file."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.main import run


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    items = [{"item_id": f"i{n:02d}", "title": f"Kettle {n}"} for n in range(6)]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    tmp_path.joinpath("featurestore.toml").write_text(
        '[ingest]\nitems = "items.parquet"\n'
        '[generate]\nprompt = "item_cot"\nmodel = "echo"\nprice_per_gpu_hour = 2.0\n'
        'metrics_file = "run.prom"\n'
    )
    assert run(["ingest", "-C", str(tmp_path)]) == 0
    capsys.readouterr()
    return tmp_path


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_runs_are_listed_and_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "ls", "-C", str(project)]) == 0
    assert capsys.readouterr().out == "runs: none\n"
    for _ in range(2):
        assert run(["generate", "-C", str(project), "--limit", "3"]) == 0
    capsys.readouterr()
    assert run(["runs", "ls", "-C", str(project), "--json"]) == 0
    newest, oldest = json.loads(capsys.readouterr().out)["runs"]
    assert newest["run_id"] > oldest["run_id"]
    assert run(["runs", "show", oldest["run_id"], "-C", str(project), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == oldest
    assert run(["runs", "show", "-C", str(project)]) == 0
    printed = capsys.readouterr().out
    assert f"run {newest['run_id']}" in printed
    assert "echo-1-cpu" in printed
    assert "plan off by" in printed
    assert str(project) not in json.dumps(newest), "a card names no folder of the machine"


def test_a_card_says_what_a_run_took_and_with_what(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "-C", str(project)]) == 0
    capsys.readouterr()
    assert run(["runs", "show", "-C", str(project), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["status"], card["num_entities"], card["requests"]) == ("finished", 6, 18)
    assert card["cost"] == pytest.approx(card["seconds"] / 3600 * 2.0)
    assert card["engine_seconds"] <= card["seconds"]
    assert card["planned"]["prompt_tokens"] > 0
    assert card["machine"]["cores"] >= 1
    assert {"lancedb", "pyarrow"} <= card["versions"].keys()
    assert card["model_source"].startswith("echo@")


def test_an_unknown_run_names_the_newest(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", "-C", str(project)]) == 7
    assert run(["generate", "-C", str(project), "--limit", "1"]) == 0
    assert run(["generate", "-C", str(project), "--limit", "1"]) == 0
    capsys.readouterr()
    assert run(["runs", "show", "1999", "-C", str(project)]) == 7
    printed = capsys.readouterr().err
    assert "the store holds no run '1999'" in printed
    assert "The newest are: 2" in printed
    assert run(["runs", "show", "2", "-C", str(project)]) == 7
    assert "2 runs begin with '2'" in capsys.readouterr().err


def test_a_json_log_is_one_object_a_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--log-json", "generate", "-C", str(project), "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    events = _events(printed.err)
    names = [event["event"] for event in events]
    assert names[0] == "run_planning"
    assert "run_running" in names
    last = next(event for event in reversed(events) if event["event"].startswith("run_"))
    assert (last["event"], last["run_id"]) == ("run_finished", report["run_id"])
    assert last["rows"] == report["outcomes"]
    assert (last["done"], last["in_flight"], last["error"]) == (6, 0, None)


def test_a_json_log_tells_errors_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--log-json", "generate", "-C", str(project), "--max-tokens", "1"]) == 11
    *_, failed, error = _events(capsys.readouterr().err)
    assert (failed["event"], error["event"], error["exit_code"]) == ("run_failed", "error", 11)
    assert failed["error"].startswith("PlanTooExpensiveError")
    assert run(["generate", "-C", str(project), "--max-tokens", "1"]) == 11
    assert capsys.readouterr().err.startswith("error: ")


def test_other_commands_log_as_json_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--log-json", "ls", "-C", str(project), "--json"]) == 0
    events = _events(capsys.readouterr().err)
    assert {event["event"] for event in events} == {"message"}


@pytest.mark.parametrize("option", [[], ["--metrics-file"]])
def test_the_metrics_file_ends_with_the_last_run(
    project: Path, tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.prom" if option else project / "run.prom"
    named = [*option, str(path)] if option else []
    assert run(["generate", "-C", str(project), *named]) == 0
    text = path.read_text("utf-8")
    assert 'featurestore_run_phase{feature="item_cot",model="echo",phase="finished"} 1\n' in text
    assert 'stage="fused",outcome="ok"} 6\n' in text
    assert run(["generate", "-C", str(project), *named]) == 0
    again = path.read_text("utf-8")
    assert 'phase="finished"} 1\n' in again, "a run with nothing to do is a run"
    assert 'featurestore_run_entities{feature="item_cot",model="echo",state="planned"} 0\n' in again


def test_a_metrics_file_without_a_folder_stops_the_run_at_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "-C", str(project), "--metrics-file", str(project / "no" / "x.prom")]) == 4
    assert "cannot be written" in capsys.readouterr().err

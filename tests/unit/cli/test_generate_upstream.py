"""``generate`` for users: which item texts their histories lack; ``--upstream`` writes them first."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.main import run
from featurestore.jobs.runcard import list_runs, read_run_card
from featurestore.stores import connect


@pytest.fixture
def project(tmp_path: Path) -> Path:
    _write_items(tmp_path)
    # The last two events of a user are held out: the histories are i0, i1, i2 and i1, i2, i3.
    events = [
        {"user_id": f"u{u}", "item_id": f"i{u + n}", "timestamp": n} for u in range(2) for n in range(5)
    ]
    pl.DataFrame(events).write_parquet(tmp_path / "events.parquet")
    files = 'items = "items.parquet"\ninteractions = "events.parquet"'
    tmp_path.joinpath("featurestore.toml").write_text(f"[ingest]\n{files}\n")
    assert run(["ingest", "-C", str(tmp_path)]) == 0
    return tmp_path


def _write_items(folder: Path, description: str = "Steel.") -> None:
    items = [{"item_id": f"i{n}", "title": f"Kettle {n}", "description": "Steel."} for n in range(8)]
    items[2]["description"] = description
    pl.DataFrame(items).write_parquet(folder / "items.parquet")


def _users(project: Path, *arguments: str, command: str = "generate") -> int:
    return run([command, "--prompt", "user_cot", "--model", "echo", "-C", str(project), *arguments])


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def _texts(read: int, missing: int, stale: int) -> dict[str, Any]:
    numbers = {"num_read": read, "num_missing": missing, "num_stale": stale}
    return {"feature": "item_cot.fused", "model": "echo", **numbers}


def test_missing_item_texts_are_counted_before_and_after(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for command in ("plan", "generate"):
        assert _users(project, "--json", command=command) == 0
        assert _json(capsys)["stale_upstream"] == _texts(4, 4, 0)
    assert _users(project) == 0
    warning = (
        "warning: of 4 items in the histories, 4 have no item_cot.fused and 0 an outdated one; --upstream"
    )
    assert warning in capsys.readouterr().out


def test_upstream_writes_the_items_and_then_the_users(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert _users(project, "--upstream", "--json") == 0
    done = _json(capsys)
    (items,) = done["upstream_runs"]
    assert (items["feature"], items["requests"]) == ("item_cot", 24)
    assert (done["requests"], done["stale_upstream"]) == (6, _texts(4, 0, 0))
    store = connect(str(project / "store"))
    assert [read_run_card(store, run_id).feature for run_id in list_runs(store)] == ["item_cot", "user_cot"]
    assert _users(project, "--upstream", "--json") == 0
    again = _json(capsys)
    assert (again["upstream_runs"][0]["requests"], again["requests"]) == (0, 0)


def test_a_changed_item_is_stale_and_then_its_readers_are(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _users(project, "--upstream") == 0
    _write_items(project, "Copper.")
    assert run(["ingest", "-C", str(project)]) == 0
    capsys.readouterr()
    assert _users(project, "--json", command="plan") == 0
    plan = _json(capsys)
    assert (plan["chains"], plan["stale_upstream"]) == (0, _texts(4, 0, 1))
    assert _users(project, "--upstream", "--limit", "1", "--json") == 0
    done = _json(capsys)
    assert (done["upstream_runs"][0]["requests"], done["num_chains"]) == (3, 1)


def test_prompts_that_read_no_texts_have_no_upstream(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = [
        "generate",
        "--prompt",
        "item_cot",
        "--model",
        "echo",
        "-C",
        str(project),
        "--upstream",
        "--json",
    ]
    assert run(words) == 0
    done = _json(capsys)
    assert (done["stale_upstream"], done["upstream_runs"]) == (None, [])


def test_several_engines_need_a_runner_for_them(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _users(project, "--num-engines", "2") == 2
    assert "2 engines do not run in one process" in capsys.readouterr().err
    assert _users(project, "--shard-size", "5") == 2
    assert "are for many engines" in capsys.readouterr().err

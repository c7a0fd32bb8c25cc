"""``featurestore plan``, and the ceilings of ``generate``."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.main import run
from featurestore.stores import connect


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    items = [{"item_id": f"i{n:02d}", "title": f"Kettle {n}", "price": float(n)} for n in range(20)]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    tmp_path.joinpath("featurestore.toml").write_text(
        '[ingest]\nitems = "items.parquet"\n[generate]\nprompt = "item_cot"\nmodel = "echo"\n'
    )
    assert run(["ingest", "-C", str(tmp_path)]) == 0
    capsys.readouterr()
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_a_plan_says_what_why_and_what_it_takes_and_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = connect(str(project / "store")).tables()
    assert run(["plan", "-C", str(project), "--limit", "12"]) == 0
    printed = capsys.readouterr().out
    assert "item_cot by echo: 12 of 20 entities have something to do" in printed
    assert "time: unknown, this model never ran on such a machine" in printed
    assert "cost: unknown, no price was given" in printed
    assert "50% of what it may take: no earlier answers" in printed
    assert connect(str(project / "store")).tables() == before


def test_after_a_run_time_and_money_are_known(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "-C", str(project), "--limit", "10"]) == 0
    assert "the plan and what happened" in capsys.readouterr().out
    assert run(["plan", "-C", str(project), "--price-per-gpu-hour", "3600", "--json"]) == 0
    plan = _json(capsys)
    assert plan["rows"] == {stage: {"new": 10} for stage in ("forward", "backward", "fused")}
    assert {stage["basis"] for stage in plan["stages"]} == {"10 rows of this version"}
    assert plan["prompt_tokens"] == sum(stage["prompt"] for stage in plan["stages"])
    assert plan["speed"]["engine"] == "echo-1-cpu"
    assert plan["cost"] == pytest.approx(plan["seconds"])
    assert (plan["memory"], plan["counted_by"]) == (None, "4 characters a token")
    assert run(["plan", "-C", str(project), "--price-per-gpu-hour", "2"]) == 0
    assert "from 1 run of echo-1-cpu on such a machine" in capsys.readouterr().out


def test_changed_fields_are_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "-C", str(project)]) == 0
    items = pl.read_parquet(project / "items.parquet")
    items.with_columns(title=pl.col("title") + "!").write_parquet(project / "items.parquet")
    assert run(["ingest", "-C", str(project)]) == 0
    capsys.readouterr()
    assert run(["plan", "-C", str(project)]) == 0
    assert "fields changed: title" in capsys.readouterr().out


def test_a_dry_run_is_the_same_plan(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "-C", str(project), "--limit", "4", "--json"]) == 0
    plan = _json(capsys)
    assert run(["generate", "--dry-run", "-C", str(project), "--limit", "4", "--json"]) == 0
    assert _json(capsys) == plan


@pytest.mark.parametrize("command", [["plan"], ["generate", "--dry-run"], ["generate"]])
def test_a_plan_above_a_ceiling_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    before = connect(str(project / "store")).tables()
    assert run([*command, "-C", str(project), "--max-tokens", "100"]) == 11
    printed = capsys.readouterr().err
    assert "more than the 100 allowed" in printed
    assert connect(str(project / "store")).tables() == before
    assert run([*command, "-C", str(project), "--max-cost", "5", "--price-per-gpu-hour", "1"]) == 11
    assert "the cost is bounded but not known" in capsys.readouterr().err
    assert run([*command, "-C", str(project), "--max-tokens", "10000000"]) == 0


def test_a_refused_plan_is_one_json_object(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "-C", str(project), "--max-tokens", "100", "--json"]) == 11
    assert _json(capsys)["error"]["type"] == "PlanTooExpensiveError"


def test_a_ceiling_on_the_cost_needs_a_price(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "-C", str(project), "--max-cost", "5"]) == 2
    assert "needs a price" in capsys.readouterr().err
    with (project / "featurestore.toml").open("a") as file:
        file.write("price_per_gpu_hour = 3600.0\n")
    assert run(["generate", "-C", str(project), "--limit", "10"]) == 0
    assert run(["plan", "-C", str(project), "--max-cost", "0.000001"]) == 11
    assert "more than the 0.00 allowed" in capsys.readouterr().err
    assert run(["generate", "-C", str(project), "--max-cost", "1000"]) == 0


def test_nothing_to_do_passes_every_ceiling(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "-C", str(project)]) == 0
    assert run(["plan", "-C", str(project), "--max-tokens", "0"]) == 0
    assert run(["generate", "-C", str(project), "--max-tokens", "0"]) == 0


def test_every_gpu_of_an_engine_is_paid_for(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (project / "featurestore.toml").open("a") as file:
        file.write("[engine]\ntensor_parallel_size = 2\ndata_parallel_size = 3\n")
    assert run(["plan", "-C", str(project), "--json"]) == 0
    assert _json(capsys)["gpus"] == 6
    arguments = ["generate", "--dry-run", "-C", str(project), "--json", "--runner", "ray"]
    assert run([*arguments, "--num-engines", "4", "--gpus-per-engine", "8"]) == 0
    assert _json(capsys)["gpus"] == 32

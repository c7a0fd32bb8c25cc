import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.main import run
from featurestore.jobs.lock import FeatureLock
from featurestore.stores import connect


@pytest.fixture
def project(tmp_path: Path) -> Path:
    items = [{"item_id": f"i{n}", "title": f"Kettle {n}", "price": float(n)} for n in range(4)]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    tmp_path.joinpath("featurestore.toml").write_text('[ingest]\nitems = "items.parquet"\n')
    assert run(["ingest", "-C", str(tmp_path)]) == 0
    return tmp_path


def _generate(project: Path, *arguments: str) -> int:
    return run(["generate", "--prompt", "item_cot", "--model", "echo", "-C", str(project), *arguments])


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_a_summary_counts_every_stage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert _generate(project) == 0
    printed = capsys.readouterr().out
    assert "item_cot by echo, run " in printed
    assert "12 requests" in printed
    assert _generate(project) == 0
    assert "nothing to do: all 4 entities are up to date" in capsys.readouterr().out


def test_json_has_every_number(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert _generate(project, "--json", "--limit", "2") == 0
    report = _json(capsys)
    assert report["outcomes"] == {stage: {"ok": 2} for stage in ("forward", "backward", "fused")}
    assert (report["requests"], report["num_entities"], report["num_chains"]) == (6, 4, 2)
    assert report["tokens_per_second"] > 0


def test_a_dry_run_says_what_and_why_and_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _generate(project, "--limit", "1")
    capsys.readouterr()
    before = connect(str(project / "store")).tables()
    assert _generate(project, "--dry-run", "--json") == 0
    plan = _json(capsys)
    assert plan["rows"] == {stage: {"new": 3} for stage in ("forward", "backward", "fused")}
    assert plan["prompt_tokens"] > plan["cached_tokens"] > 0
    assert _generate(project, "--dry-run") == 0
    assert "3 of 4 entities have something to do" in capsys.readouterr().out
    assert connect(str(project / "store")).tables() == before


def test_shorter_answers_are_another_version(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _generate(project)
    capsys.readouterr()
    assert _generate(project, "--max-field-chars", "40", "--dry-run", "--json") == 0
    assert _json(capsys)["rows"]["fused"] == {"spec changed": 4}
    assert _generate(project, "--max-field-chars", "40") == 0


def test_where_and_only_failed_reach_the_plan(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert _generate(project, "--where", "price > 1", "--json") == 0
    assert _json(capsys)["requests"] == 6
    assert _generate(project, "--only-failed", "--json") == 0
    assert _json(capsys)["requests"] == 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--model", "ecko"], 2, "unknown model 'ecko'. Did you mean 'echo'?"),
        (["--prompt", "item_cod"], 2, "unknown prompt 'item_cod'. Did you mean 'item_cot'?"),
        (["--where", "prize > 1"], 2, "the condition 'prize > 1' cannot be evaluated"),
    ],
)
def test_wrong_names_are_explained(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], exit_code: int, message: str
) -> None:
    assert _generate(project, *arguments) == exit_code
    assert message in capsys.readouterr().err


def test_a_prompt_and_a_model_must_be_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "-C", str(project)]) == 2
    assert "no prompt was named" in capsys.readouterr().err
    assert run(["generate", "--prompt", "item_cot", "-C", str(project)]) == 2
    assert "no model was named" in capsys.readouterr().err


def test_a_running_job_keeps_a_second_one_out(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _generate(project, "--limit", "1")
    store = connect(str(project / "store"))
    with FeatureLock(store.objects, next(name for name in store.tables() if name.startswith("text."))):
        assert _generate(project) == 6
    assert "another job works on text.item_cot" in capsys.readouterr().err

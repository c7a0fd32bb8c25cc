import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run


def _redteam(*arguments: str) -> int:
    return run(["redteam", "--model", "echo", "--limit", "12", *arguments])


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_tables_count_every_kind_without_a_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _redteam("-C", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "12 attacks and as many twins: item_cot by echo" in printed
    assert "attacks that succeeded (95 % Wilson intervals)" in printed
    assert "hidden_characters" in printed
    assert list(tmp_path.iterdir()) == []


def test_json_has_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _redteam("-C", str(tmp_path), "--json") == 0
    report = _json(capsys)
    assert report["total"]["success"]["of"] == report["total"]["success_undefended"]["of"] == 12
    assert report["passed"] is True
    assert len(report["attacks"]) == 24


def test_the_undefended_run_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _redteam("-C", str(tmp_path), "--no-undefended", "--json") == 0
    report = _json(capsys)
    assert report["total"]["success_undefended"] is None
    assert report["attacks_undefended"] == []


def test_a_bound_makes_it_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The echo model copies its input: with long answers some canaries are in its texts."""
    assert _redteam("-C", str(tmp_path), "--max-success-rate", "0", "--json") == 5
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["passed"] is False
    assert "of the attacks succeeded, 0.0% are allowed" in captured.err
    assert _redteam("-C", str(tmp_path), "--max-success-rate", "1", "--no-undefended") == 0


def test_a_projects_own_prompt_is_attacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.joinpath("featurestore.toml").write_text("[generate]\nmax_field_chars = 40\n")
    assert run(["prompts", "new", "mine", "-C", str(tmp_path)]) == 0
    path = tmp_path / "prompts" / "mine.toml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("1. Everything between")))
    capsys.readouterr()
    assert _redteam("-C", str(tmp_path), "--prompt", "mine") == 0
    assert "has no line that names <data>" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_no_folder_without_a_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _redteam("-C", str(tmp_path / "absent")) == 2
    assert "there is no folder" in capsys.readouterr().err

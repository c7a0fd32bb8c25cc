import json
from pathlib import Path

import polars as pl
import pytest

from cli.main import run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    _put_items(tmp_path, "Kettle")
    tmp_path.joinpath("featurestore.toml").write_text('[ingest]\nitems = "items.parquet"\n')
    assert run(["ingest", "-C", str(tmp_path)]) == 0
    assert run(["generate", "-p", "item_cot", "-m", "echo", "-C", str(tmp_path)]) == 0
    return tmp_path


def _put_items(project: Path, name: str) -> None:
    pl.DataFrame([{"item_id": f"i{n}", "title": f"{name} {n}"} for n in range(3)]).write_parquet(
        project / "items.parquet"
    )


def test_an_equal_row_ends_with_0(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["replay", "--feature", "item_cot", "--view", "forward", "--row", "i1", "-C", str(project)]
    capsys.readouterr()
    assert run(arguments) == 0
    printed = capsys.readouterr().out
    assert "item_cot.forward i1 by echo: equal" in printed
    assert "inputs: the same\nrequest: the same\nengine: echo-1-cpu then, echo-1-cpu now" in printed
    assert run([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "equal"
    assert report["then"]["text"] == report["now"]["text"]


def test_a_different_row_ends_with_13(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _put_items(project, "Toaster")
    assert run(["ingest", "-C", str(project)]) == 0
    capsys.readouterr()
    arguments = ["replay", "-f", "item_cot", "--view", "forward", "--row", "i1", "-C", str(project)]
    assert run([*arguments, "--json"]) == 13
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (report["verdict"], report["same_inputs"], report["changed_fields"]) == (
        "different",
        False,
        ["title"],
    )
    assert "the row came out different" in captured.err
    assert run([*arguments, "--near", "0"]) == 0
    assert "inputs: changed since: title" in capsys.readouterr().out


def test_other_limits_are_another_spec(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    arguments = ["replay", "-f", "item_cot", "--row", "i1", "--max-field-chars", "40", "-C", str(project)]
    assert run(arguments) == 2
    assert "item_cot.fused was written under another spec" in capsys.readouterr().err

import json
from pathlib import Path

import polars as pl
import pytest

from cli.main import run
from featurestore.stores import connect


@pytest.fixture
def project(tmp_path: Path) -> Path:
    items = [{"item_id": f"i{n}", "title": f"Kettle {n}"} for n in range(8)]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    tmp_path.joinpath("featurestore.toml").write_text(
        '[ingest]\nitems = "items.parquet"\n[encode]\nencoder = "hashing"\n[generate]\nmodel = "echo"\n'
    )
    assert run(["ingest", "-C", str(tmp_path)]) == 0
    assert run(["prompts", "new", "mine", "-C", str(tmp_path)]) == 0
    path = tmp_path / "prompts" / "mine.toml"
    path.write_text(path.read_text().replace("Weigh both answers.", "Weigh the two answers."))
    return tmp_path


def test_a_page_and_a_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = project / "page.html"
    before = connect(str(project / "store")).tables()
    arguments = ["compare", "-p", "item_cot", "--prompt-b", "mine", "--sample", "5", "-C", str(project)]
    capsys.readouterr()
    assert run([*arguments, "--out", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "5 items, sample seed 0" in printed
    assert "B: mine@" in printed
    assert str(page) in printed
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert run([*arguments, "--out", str(page), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sample"] == 5
    assert report["a"]["texts"] == report["b"]["texts"] == 5
    assert 0 <= report["neighbour_overlap"] <= 1
    assert connect(str(project / "store")).tables() == before


def test_a_prompt_may_be_a_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = project / "old.toml"
    old.write_text((project / "prompts" / "mine.toml").read_text())
    capsys.readouterr()
    arguments = ["compare", "-p", "item_cot", "--prompt-b", str(old), "-n", "2", "-C", str(project)]
    assert run([*arguments, "--out", str(project / "page.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["b"]["contender"].startswith("old@")


def test_equal_sides_are_refused_before_anything_runs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["compare", "-p", "item_cot", "-C", str(project), "-o", str(project / "page.html")]) == 2
    assert "there is nothing to compare" in capsys.readouterr().err
    assert not (project / "page.html").exists()


def test_a_page_that_cannot_be_written_is_refused_before_anything_runs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "-p", "item_cot", "--prompt-b", "mine", "-C", str(project)]
    assert run([*arguments, "-o", str(project / "absent" / "page.html")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert run([*arguments, "-o", str(project)]) == 2
    assert "is a folder" in capsys.readouterr().err

"""``featurestore forget``: which files of the project it says still name a user."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.main import app


@pytest.fixture
def project(tmp_path: Path) -> Path:
    toml = '[ingest]\ninteractions = "data/events.csv"\n'
    (tmp_path / "featurestore.toml").write_text(toml, encoding="utf-8")
    (tmp_path / "data").mkdir()
    rows = [{"user_id": f"U000{user}", "item_id": f"I03{item}"} for user in range(4) for item in range(4)]
    pl.DataFrame(rows).write_csv(tmp_path / "data/events.csv")
    run(tmp_path, "ingest")
    return tmp_path


def run(project: Path, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "-C", str(project)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_file_that_is_ingested_is_named_also_for_a_short_id(project: Path) -> None:
    said = run(project, "forget", "--user", "U0003")
    assert "files of the project that still name them\n  file\n" in said
    assert f"{project / 'data/events.csv'}\nremove the users there: an ingest" in said
    path = project / "data/events.csv"
    pl.read_csv(path).filter(pl.col("user_id") != "U0003").write_csv(path)
    assert "files of the project that still name them: none\n" in run(project, "forget", "--user", "U0003")


def test_what_was_not_searched_is_not_said_to_be_clean(project: Path) -> None:
    (project / "data/copy.bin").write_bytes(b"\x00\x01")
    (project / "data/events.csv").unlink()
    said = run(project, "forget", "--user", "U0003")
    assert said.endswith(f"\nnot searched: {project / 'data/copy.bin'} (binary or compressed)\n")
    assert "still name them" not in said
    done = json.loads(run(project, "forget", "--user", "U0003", "--json"))
    assert (done["still_named_in"], len(done["not_searched"])) == ([], 1)

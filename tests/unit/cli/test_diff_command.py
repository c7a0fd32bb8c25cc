"""``featurestore diff`` on the command line."""

import json
from pathlib import Path

import pytest
from diff_samples import connect_nodes, first_release, put_codes, release, turn
from store_samples import add_texts
from typer.testing import CliRunner

from cli.diff_view import marked
from cli.main import app
from featurestore.errors import MissingVersionError, UsageError
from featurestore.pages.word_difference import word_difference
from featurestore.release import ReleaseCatalog
from featurestore.stores import connect


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two releases; ``production`` names the second."""
    (tmp_path / "featurestore.toml").write_text('[store]\nuri = "store"\n', encoding="utf-8")
    store = connect(str(tmp_path / "store"))
    first_release(store)
    put_codes(store, {"i0": (1, 2, 0)})
    release(store)
    add_texts(store, {"i0": "A bad text about i0."})
    turn(store, {"i0": [0.0, 1.0, 0.0, 0.0]})
    connect_nodes(store, {"i0": ["i2", "i3"], "i1": ["i0", "i2"], "i2": ["i0", "i1"], "i3": ["i4"]})
    put_codes(store, {"i0": (1, 5, 0)}, "other codebook")
    release(store)
    ReleaseCatalog(store).point("production", 3)
    return tmp_path


def run(project: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["diff", *words, "-C", str(project)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_prints_what_changed(project: Path) -> None:
    shown = run(project, "2")
    assert "before: release 2 of 2026-01-01" in shown
    assert "after:  release 3 (production) of" in shown
    assert "texts item_text.text: 1 rewritten, 0 new, 0 gone, 4 the same" in shown
    assert "i0 (Title i0)  [80% of the words are the same]\n    A [-good-] {+bad+} text about i0." in shown
    assert "  1.0000  i0 (Title i0)" in shown
    assert "i0 (Title i0)  [1 kept, moved by 1.0000]\n    lost: i1 (Title i1)\n    gained: i3" in shown
    assert "1 moved, 0 new, 0 gone, 0 the same; the codebooks are others" in shown
    assert "i0 (Title i0)  1-2-0 → 1-5-0" in shown


def test_equal_releases(project: Path) -> None:
    shown = run(project, "3", "production")
    assert "tables that changed: none" in shown
    assert "gates with another value: none" in shown
    assert "texts" not in shown


def test_json_and_a_page_and_one_feature(project: Path, tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    words = ["2", "3", "--feature", "item_text", "--limit", "0", "--html", str(page), "--json"]
    data = json.loads(run(project, *words))
    assert data["page"] == str(page)
    assert {row["name"] for row in data["counts"]} == {"item_text.text"}
    assert (data["texts"][0]["num_changed"], data["texts"][0]["examples"]) == (1, [])
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_what_cannot_be_done_is_said_first(project: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"page\.html cannot be written: there is no folder"):
        run(project, "2", "3", "--html", str(tmp_path / "absent" / "page.html"))
    with pytest.raises(MissingVersionError, match=r"no release or alias 'canary'\. Aliases: production"):
        run(project, "2", "canary")


def test_long_equal_runs_are_cut() -> None:
    same = " ".join(f"w{n}" for n in range(30))
    shown = marked(word_difference(f"{same} old {same} end", f"{same} new {same} end"))
    assert shown == ("… w24 w25 w26 w27 w28 w29 [-old-] {+new+} w0 w1 w2 w3 w4 w5 …")

import json
import sys
from pathlib import Path

import pytest
from store_samples import add_texts, fill_store
from typer.testing import CliRunner

from cli.main import app
from featurestore.errors import GateFailedError, InputError, SetupError, StoreError, UnknownNameError
from featurestore.stores import connect


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "featurestore.toml").write_text('[store]\nuri = "store"\n', encoding="utf-8")
    return tmp_path


def run(project: Path, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "-C", str(project)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_history_as_a_table_as_json_and_as_a_page(project):
    store = connect(str(project / "store"))
    fill_store(store)
    run(project, "publish")
    add_texts(store, {"i5": None, "i4": "A new text."})
    with pytest.raises(GateFailedError) as caught:
        run(project, "publish")
    assert caught.value.exit_code == 5
    shown = run(project, "gates", "history", "--gate", "failure_rate", "--feature", "item_text")
    assert shown.split() == [
        *["gates", "gate", "feature", "of", "last", "bound", "used", "releases", "trend"],
        *["failure_rate", "text", "item_text.text", "all", "0.1667", "≤", "0.2", "83%", "1", "▁"],
    ]
    page = project / "gates.html"
    (series,) = json.loads(
        run(
            project,
            "gates",
            "history",
            "--gate",
            "rows",
            "-f",
            "item_text.text",
            "--json",
            "--html",
            str(page),
        )
    )["gates"][:1]
    assert (series["gate"], series["points"][0]["release"], series["used"]) == ("rows", 1, 0.0)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(UnknownNameError, match="unknown feature 'nothing'"):
        run(project, "gates", "history", "--feature", "nothing")


def test_history_of_an_empty_project(project):
    assert "gates: none" in run(project, "gates", "history")
    with pytest.raises(InputError, match="no release has measured any gate"):
        run(project, "gates", "history", "--html", str(project / "gates.html"))


def test_a_probe_of_the_configuration_is_opened(project, monkeypatch):
    store = connect(str(project / "store"))
    fill_store(store)
    run(project, "publish")
    add_texts(store, {"i5": "Now it has one."})
    toml = project / "featurestore.toml"
    toml.write_text(toml.read_text() + '\n[gates]\nprobe = "models/probe"\n', encoding="utf-8")
    with pytest.raises(StoreError, match=r"models/probe holds no trained model"):
        run(project, "publish")
    monkeypatch.setitem(sys.modules, "recommender.probe", None)
    with pytest.raises(SetupError, match=r"cot-featurestore\[train\]"):
        run(project, "publish")

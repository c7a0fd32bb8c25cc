"""``ls``, ``show``, ``publish`` and ``export`` over a real store in a folder."""

import json
from pathlib import Path
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from store_samples import ITEM_IDS, add_sources, add_texts, add_vectors, fill_store
from typer.testing import CliRunner

from cli.main import app
from featurestore.errors import (
    FeatureStoreError,
    GateFailedError,
    InputError,
    LeakError,
    MissingIdsError,
    MissingVersionError,
    StorageFullError,
    UnknownNameError,
    UsageError,
)
from featurestore.store import Store
from featurestore.stores import connect


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "featurestore.toml").write_text('[store]\nuri = "store"\n', encoding="utf-8")
    return tmp_path


@pytest.fixture
def store(project: Path) -> Store:
    filled = connect(str(project / "store"))
    fill_store(filled)
    return filled


def run(project: Path, command: str, *words: str) -> str:
    result = CliRunner().invoke(app, [command, *words, "-C", str(project)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(error: type[FeatureStoreError], exit_code: int, project: Path, command: str, *words: str) -> str:
    """Run a command that must fail with ``error``, which ends `cli.main.main` with ``exit_code``."""
    with pytest.raises(error) as caught:
        CliRunner().invoke(app, [command, *words, "-C", str(project)], catch_exceptions=False)
    assert caught.value.exit_code == exit_code
    return str(caught.value)


def test_ls_of_an_empty_project(project):
    shown = run(project, "ls")
    assert "source tables: none" in shown
    assert "features: none" in shown
    assert "releases: none" in shown
    assert not (project / "store").exists()


def test_ls_shows_rows_failures_specs_and_releases(project, store):
    run(project, "publish")
    run(project, "publish", "--alias", "canary")
    add_texts(store, {"i5": "Now it has one."})
    rows = json.loads(run(project, "ls", "--json"))
    features = {(row["kind"], row["feature"], row["view"]): row for row in rows["features"]}
    text = features["text", "item_text", "text"]
    assert (text["rows"], text["failed"], text["releases"], text["newest_released"]) == (6, 0, [1], False)
    assert features["vector", "user_cot", "fused"]["newest_released"]
    assert features["graph", "item_text", "text"]["failed"] is None
    assert rows["sources"]["source.items"] == 6
    assert [(row["number"], row["aliases"]) for row in rows["releases"]] == [(1, ["canary", "production"])]
    shown = run(project, "ls")
    assert text["spec"] in shown
    assert "1 (older rows)" in shown
    assert "canary, production" in shown


def test_show_prints_texts_with_their_outcome(project, store):
    shown = run(project, "show", "item_text", "--id", "i5", "--id", "i0")
    assert "item_text.text: 2 of 6 rows" in shown
    assert (
        shown.index("i5  [failed, no_json]") < shown.index("i0  [ok]") < shown.index("A good text about i0.")
    )
    assert "origin: plain" in shown
    assert "user_cot.fused: 3 of 4 rows" in run(project, "show", "user_cot", "--limit", "3")
    assert "user_cot.forward: 4 of 4 rows" in run(project, "show", "user_cot", "--view", "forward")


def test_show_reads_the_newest_rows_or_a_release(project, store):
    run(project, "publish")
    add_texts(store, {"i0": "Changed since."})
    assert "Changed since." in run(project, "show", "item_text", "--id", "i0")
    released = json.loads(
        run(project, "show", "item_text", "--id", "i0", "--release", "production", "--json")
    )
    assert released["rows"][0]["text"] == "A good text about i0."
    assert released["total"] == 6
    assert released["spec"]["origin"] == "plain"


def test_show_names_what_it_does_not_find(project, store):
    message = refuse(UnknownNameError, 2, project, "show", "item_txt")
    assert message == "unknown text feature 'item_txt'. Did you mean 'item_text'? Known: item_text, user_cot."
    message = refuse(UnknownNameError, 2, project, "show", "user_cot", "--view", "backward")
    assert "unknown view of text feature 'user_cot' 'backward'" in message
    message = refuse(MissingIdsError, 7, project, "show", "item_text", "--id", "i1", "--id", "nope")
    assert message.startswith("the id 'nope' is not in text.item_text.text.")
    message = refuse(MissingVersionError, 7, project, "show", "item_text", "--release", "production")
    assert "the store has no release or alias 'production'. Aliases: none. Releases: none." in message


def test_publish_says_what_it_pinned_and_which_alias_moved(project, store):
    shown = run(project, "publish", "--no-promote")
    assert "release 1 published" in shown
    assert "no alias was moved; read it with --release 1" in shown
    shown = run(project, "publish")
    assert "release 1 holds exactly this already" in shown
    assert "alias 'production' now names release 1" in shown
    assert "alias 'production' names release 1 as before" in run(project, "publish")
    add_texts(store, {"i5": "Now it has one."})
    done = json.loads(run(project, "publish", "--alias", "canary", "--json"))
    assert (done["release"], done["created"], done["alias"], done["moved"]) == (2, True, "canary", True)
    assert all(gate["passed"] for gate in done["manifest"]["gates"])


def test_publish_can_leave_features_out(project, store):
    done = json.loads(run(project, "publish", "--feature", "item_text", "--json"))
    kinds = {pin["spec"]["feature"] for pin in done["manifest"]["pins"] if pin["spec"]["kind"] != "source"}
    assert kinds == {"item_text"}
    message = refuse(UnknownNameError, 2, project, "publish", "--feature", "item_cot")
    assert message.startswith("unknown feature 'item_cot'.")


def test_a_failed_gate_ends_with_5_and_moves_nothing(project, store):
    run(project, "publish")
    toml = project / "featurestore.toml"
    toml.write_text(toml.read_text() + "\n[gates]\nmin_coverage = 0.95\n", encoding="utf-8")
    message = refuse(GateFailedError, 5, project, "publish")
    assert message.startswith("1 gate refuses this release; alias 'production' still names release 1.")
    assert "share of entities with a good text is 0.8333; at least 0.95 is needed" in message
    assert json.loads(run(project, "ls", "--json"))["releases"][0]["aliases"] == ["production"]


def test_publish_of_nothing_and_to_no_name(project):
    assert "holds nothing to publish" in refuse(InputError, 3, project, "publish")
    assert "an alias starts with a letter" in refuse(UsageError, 2, project, "publish", "--alias", "9")


def test_export_of_texts_and_vectors(project, store, tmp_path):
    run(project, "publish")
    texts, vectors, matrix = tmp_path / "t.parquet", tmp_path / "v.parquet", tmp_path / "m.npy"
    shown = run(project, "export", "--feature", "item_text", "--out", str(texts))
    assert "5 rows of text item_text.text, release 1:" in shown
    frame = pl.read_parquet(texts)
    assert frame["id"].to_list() == list(ITEM_IDS[:5])
    assert frame["text"][0] == "A good text about i0."
    run(project, "export", "--feature", "item_text", "--kind", "vector", "--out", str(vectors))
    done = json.loads(run(project, "export", "--feature", "item_text", "--out", str(matrix), "--json"))
    assert done["files"] == [str(matrix), str(tmp_path / "m.ids.json")]
    assert (done["rows"], done["kind"], done["view"]) == (5, "vector", "text")
    values, beside = np.load(matrix), json.loads((tmp_path / "m.ids.json").read_text())
    assert beside["ids"] == pl.read_parquet(vectors)["id"].to_list() == list(ITEM_IDS[:5])
    assert (beside["release"], beside["spec"]["encoder"]["name"]) == (1, "hashing")
    np.testing.assert_array_equal(values, pl.read_parquet(vectors)["vector"].to_numpy())
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_export_refuses_what_it_cannot_write(project, store, tmp_path):
    message = refuse(MissingVersionError, 7, project, "export", "--feature", "item_text", "--out", "x.npy")
    assert "Make one with `featurestore publish`" in message
    run(project, "publish")
    for words, error, code, expected in [
        (["--out", "x.csv"], UsageError, 2, "cannot tell the format of 'x.csv'"),
        (
            ["--out", "x.npy", "--kind", "text"],
            UsageError,
            2,
            "only vectors are written as npy, not kind 'text'",
        ),
        (["--out", "x.npy", "--kind", "lists"], UnknownNameError, 2, "unknown kind 'lists'"),
        (["--out", str(tmp_path / "none" / "x.npy")], InputError, 3, "does not exist"),
        (["--out", "/proc/x.npy"], InputError, 3, "/proc/x.ids.json cannot be written: no such file"),
        (["--out", "/proc/x.parquet"], InputError, 3, "/proc/x.parquet cannot be written"),
        (["--out", "x.npy", "--view", "fused"], UnknownNameError, 2, "unknown view of vector feature"),
        (["--out", "x.npy", "--release", "9"], MissingVersionError, 7, "Aliases: production (release 1)"),
    ]:
        assert expected in refuse(error, code, project, "export", "--feature", "item_text", *words)


@pytest.mark.parametrize(("name", "failing"), [("x.parquet", "x.parquet"), ("x.npy", "x.ids.json")])
def test_export_to_a_full_disk_names_the_file_and_leaves_nothing(
    project, store, tmp_path, monkeypatch, name, failing
):
    run(project, "publish")
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr("featurestore.export.uuid.uuid4", lambda: UUID(int=0))
    (folder / f".{failing}.{UUID(int=0).hex}").symlink_to("/dev/full")
    words = ["export", "--feature", "item_text", "--out", str(folder / name)]
    message = refuse(StorageFullError, 10, project, *words)
    assert f"no space left on the device while writing {folder / failing}" in message
    assert list(folder.iterdir()) == []


def test_export_refuses_leaks_unless_allowed(project, tmp_path):
    store = connect(str(project / "store"))
    split = add_sources(store)
    text = add_texts(store, {"u0": "x"}, feature="taste", entity="user", event_set=split.event_set("valid"))
    add_vectors(store, text, ["u0"], event_set=split.event_set("valid"))
    run(project, "publish")
    out = str(tmp_path / "x.npy")
    assert "read events of" in refuse(LeakError, 8, project, "export", "--feature", "taste", "--out", out)
    assert not (tmp_path / "x.npy").exists()
    words = ["--allow-part", "train", "--allow-part", "valid"]
    assert "1 rows of vector" in run(project, "export", "--feature", "taste", "--out", out, *words)


def test_publish_although_a_gate_refuses(project, store):
    run(project, "publish")
    add_texts(store, {"i3": None, "i4": None})
    shown = refuse(GateFailedError, 5, project, "publish")
    assert "failure_rate of text item_text.text: share of failed rows is 0.5" in shown
    assert "Rows: i3 (no_json), i4 (no_json), i5 (no_json)" in shown
    named = refuse(UnknownNameError, 2, project, "publish", "--accept", "failure_rates")
    assert "unknown gate 'failure_rates'. Did you mean 'failure_rate'?" in named
    assert "cannot be accepted" in refuse(UsageError, 2, project, "publish", "--accept", "event_set")

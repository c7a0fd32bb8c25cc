"""``promote``, ``rollback``, ``releases``, ``verify`` and ``gc`` over a real store in a folder."""

import json
from pathlib import Path

import pytest
from store_samples import ITEM_IDS, add_sources, add_texts
from typer.testing import CliRunner

from cli.main import app
from featurestore.errors import (
    FeatureStoreError,
    MissingVersionError,
    StoreDamagedError,
    StoreError,
    UsageError,
)
from featurestore.store import Store
from featurestore.stores import connect


@pytest.fixture
def project(tmp_path: Path) -> Path:
    toml = '[store]\nuri = "store"\n[gc]\nkeep_releases = 1\ngrace_hours = 0\nabandoned_days = 0\n'
    (tmp_path / "featurestore.toml").write_text(toml, encoding="utf-8")
    return tmp_path


@pytest.fixture
def store(project: Path) -> Store:
    """Two releases; ``production`` names the second."""
    store = connect(str(project / "store"))
    add_sources(store)
    for wording in ("first", "second"):
        add_texts(store, {i: f"{wording} text of {i}" for i in ITEM_IDS})
        run(project, "publish")
    return store


def run(project: Path, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "-C", str(project)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(error: type[FeatureStoreError], project: Path, *words: str) -> FeatureStoreError:
    with pytest.raises(error) as caught:
        CliRunner().invoke(app, [*words, "-C", str(project)], catch_exceptions=False)
    return caught.value


def test_rollback_and_promote_move_an_alias(project, store):
    assert run(project, "rollback") == "alias 'production' now names release 1, before that release 2\n"
    assert "no earlier release than 1" in refuse(MissingVersionError, project, "rollback").message
    assert run(project, "promote", "2", "--alias", "canary") == "alias 'canary' now names release 2\n"
    done = json.loads(run(project, "promote", "canary", "--json"))
    assert done == {"alias": "production", "before": 1, "release": 2, "moved": True}
    assert run(project, "rollback", "--to", "2") == "alias 'production' names release 2 as before\n"
    assert "no release or alias '9'" in refuse(MissingVersionError, project, "promote", "9").message


def test_releases_are_listed_newest_first(project, store):
    found = json.loads(run(project, "releases", "ls", "--json"))["releases"]
    assert [(row["number"], row["aliases"], row["num_changed"]) for row in found] == [
        (2, ["production"], 1),
        (1, [], 6),
    ]
    assert [row["parent"] for row in found] == [1, None]
    assert len(json.loads(run(project, "releases", "ls", "-n", "1", "--json"))["releases"]) == 1
    shown = run(project, "releases", "ls")
    assert shown.splitlines()[2].split()[0] == "2"
    assert "production" in shown


def test_a_damaged_manifest_is_named_and_stops_no_list_and_no_publish(project, store):
    path = project / "store/releases/000001.json"
    path.chmod(0o644)
    path.write_text("{")
    warning = (
        "warning: release 1 is left out: its manifest 'releases/000001.json' is damaged. Restore the file"
    )
    for words in (["releases", "ls"], ["ls"]):
        assert warning in run(project, *words)
        found = json.loads(run(project, *words, "--json"))
        (damaged,) = found["damaged"]
        assert (damaged["release"], damaged["path"]) == (1, "releases/000001.json")
        assert [row["number"] for row in found["releases"]] == [2]
    add_texts(store, {i: f"third text of {i}" for i in ITEM_IDS})
    published = run(project, "publish")
    assert warning in published
    assert "no old version of a table was removed: a damaged release may pin it" in published
    assert "release 3 published" in published
    assert "'releases/000001.json' is not one that" in refuse(StoreError, project, "gc").message


def test_a_release_is_shown_with_what_changed_and_who_named_it(project, store):
    run(project, "rollback")
    run(project, "promote", "2")
    shown = run(project, "releases", "show")
    assert shown.startswith("release 2, published ")
    assert ", after release 1" in shown.splitlines()[0]
    text = next(line for line in shown.splitlines() if "item_text.text" in line)
    assert text.split()[0] == "text"
    assert "yes" in text
    assert "gates passed" in shown
    found = json.loads(run(project, "releases", "show", "2", "--json"))
    assert [stay["until"] is None for stay in found["aliases"]] == [False, True]
    assert found["manifest"]["number"] == 2
    assert [name.partition(".")[0] for name in found["changed"]] == ["text"]
    refuse(MissingVersionError, project, "releases", "show", "canary")


def test_verify_says_what_is_damaged(project, store):
    assert "everything is as it was published" in run(project, "verify")
    found = json.loads(run(project, "verify", "--all", "--json"))
    assert (found["releases"], found["damages"]) == ([1, 2], [])
    assert "not both" in refuse(UsageError, project, "verify", "1", "--all").message
    for data in (project / "store/tables").glob("text.*/data/*.lance"):
        data.unlink()
    error = refuse(StoreDamagedError, project, "verify")
    assert error.exit_code == 14
    assert error.message.startswith("1 thing is damaged:\n  release 2, text.item_text.text.")


def test_gc_keeps_what_the_config_says(project, store):
    shown = run(project, "gc", "--dry-run")
    assert "would be removed" in shown
    assert "alias 'production' names it" in shown
    assert store.objects.list("releases/") == ["releases/000001.json", "releases/000002.json"]
    done = json.loads(run(project, "gc", "--json"))
    assert (done["collected"], done["releases"], done["busy"]) == (True, [1], [])
    assert done["kept"] == [{"release": 2, "why": "alias 'production' names it"}]
    assert done["bytes_after"] < done["bytes_before"]
    assert store.objects.list("releases/") == ["releases/000002.json"]
    assert "everything is as it was published" in run(project, "verify", "--all")


def test_publish_says_what_it_carried(project, store):
    add_texts(store, {"i0": "another wording"}, wording="1")
    shown = run(project, "publish")
    assert "carried from release 2: text item_text.text, 6 rows; its newest version has 1 so far" in shown
    done = json.loads(run(project, "publish", "--json"))
    assert [(each["name"], each["release"]) for each in done["carried"]] == [("item_text.text", 2)]
    toml = project / "featurestore.toml"
    toml.write_text(toml.read_text() + "[gates]\nmax_lost_texts = 1.0\n", encoding="utf-8")
    done = json.loads(run(project, "publish", "--incomplete", "--json"))
    assert (done["carried"], done["release"]) == ([], 3)

"""Lists of a model over nights with new events: what is said of them, and what guards them."""

import json
from pathlib import Path

import polars as pl
import pytest
from store_samples import add_recommendations

from cli.main import run
from featurestore.release import ReleaseCatalog
from featurestore.store import Store
from featurestore.stores import connect

_CONFIG = """
[ingest]
items = "items.parquet"
interactions = "events.parquet"
[encode]
encoder = "hashing"
[gates]
max_duplicate_text_share = 1.0
[refresh.features.item_text]
views = []
"""
_REQUIRED = 'required_features = ["item_text", "popularity.lists"]'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "featurestore.toml").write_text(_CONFIG)
    items = [{"item_id": f"i{n}", "title": f"Kettle {n}"} for n in range(6)]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    _write_events(tmp_path)
    return tmp_path


@pytest.fixture
def store(project: Path) -> Store:
    """Release 2 has the lists of a model that was fitted on release 1; then a user does something."""
    assert _run(project, "refresh") == 0
    store = connect(str(project / "store"))
    add_recommendations(store)
    assert _run(project, "refresh") == 0
    _write_events(project, ("u0", "i3"))
    return store


def _write_events(project: Path, *more: tuple[str, str]) -> None:
    pairs = [(f"u{user}", f"i{(user + n) % 6}") for user in range(4) for n in range(3)] + list(more)
    events = [{"user_id": user, "item_id": item, "timestamp": n} for n, (user, item) in enumerate(pairs)]
    pl.DataFrame(events).write_parquet(project / "events.parquet")


def _run(project: Path, *words: str) -> int:
    return run([*words, "-C", str(project)])


def _require(project: Path) -> None:
    config = project / "featurestore.toml"
    config.write_text(config.read_text().replace("[gates]", f"[gates]\n{_REQUIRED}"))


def test_a_night_says_what_its_release_lacks_and_how_it_is_had_again(
    project: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for status in ("done, release 3, left out", "skipped, left out"):
        assert _run(project, "refresh") == 0
        said = capsys.readouterr().out
        assert f"publish: {status} popularity.lists\nleft out: popularity.lists, of a model that lea" in said
        assert "`featurestore train` with --release 3, then `featurestore recommend --write`" in said
    assert _run(project, "publish") == 0
    assert "\nleft out: popularity.lists, of a model that learned from an earlier" in capsys.readouterr().out


def test_a_night_does_not_promote_a_release_without_what_is_required(
    project: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    _require(project)
    for _ in range(2):
        assert _run(project, "refresh", "--canary") == 5
        said = capsys.readouterr().err
        assert "lacks what gates.required_features asks for: popularity.lists; release 3 is there" in said
    catalog = ReleaseCatalog(store)
    assert catalog.aliases() == {"canary": 3, "production": 2}
    assert _run(project, "refresh", "--no-promote") == 0
    assert _run(project, "publish") == 5
    assert "; alias 'production' still names release 2.\n  What a model made" in capsys.readouterr().err
    add_recommendations(store, release=3)
    assert _run(project, "publish") == 0
    assert catalog.aliases()["production"] == 4
    assert _run(project, "refresh") == 0


def test_what_is_required_must_be_asked_for_too(
    project: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    _require(project)
    assert _run(project, "publish", "--feature", "item_text") == 5
    assert "popularity.lists; alias 'production' still names release 2" in capsys.readouterr().err
    assert _run(project, "publish", "--feature", "item_text", "--no-promote", "--json") == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == []

"""A night with a model's vectors, as docs/operations.md tells it: refresh, renew, publish."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cli.main import run
from featurestore.reader import FeatureStore, Release, open_store

pytest.importorskip("torch")

_CONFIG = """
[ingest]
items = "items.parquet"
interactions = "events.parquet"
[encode]
encoder = "hashing"
[gates]
max_duplicate_text_share = 1.0
[refresh.features.item_text]
views = ["text"]
"""
_QUICK = ("epochs=2", "batch_size=16", "embedding_dim=4", "alignment_epochs=1")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """RecMind on release 1, its vectors in release 2."""
    (tmp_path / "featurestore.toml").write_text(_CONFIG)
    _write(tmp_path, num_items=8)
    _run(tmp_path, "refresh")
    settings = [word for setting in _QUICK for word in ("--set", setting)]
    folder = str(_model(tmp_path))
    _run(tmp_path, "train", "recmind", "--features", "item_text", "--output", folder, *settings)
    _run(tmp_path, "vectors", "--model", folder)
    _run(tmp_path, "publish")
    return tmp_path


def _model(project: Path) -> Path:
    return project / "models" / "recmind"


def _write(project: Path, *more: tuple[str, str], num_items: int) -> None:
    items = [{"item_id": f"i{n}", "title": f"{'Kettle' if n % 2 else 'Drum'} {n}"} for n in range(num_items)]
    pl.DataFrame(items).write_parquet(project / "items.parquet")
    pairs = [(f"u{user}", f"i{(user + 2 * n) % 8}") for user in range(8) for n in range(4)] + list(more)
    events = [{"user_id": user, "item_id": item, "timestamp": n} for n, (user, item) in enumerate(pairs)]
    pl.DataFrame(events).write_parquet(project / "events.parquet")


def _run(project: Path, *words: str) -> None:
    assert run([*words, "-C", str(project)]) == 0, words


def _renew(project: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    _run(project, "vectors", "-m", str(_model(project)), "--renew", "--release", "canary", "--json")
    return json.loads(capsys.readouterr().out)


def _vectors(release: Release, view: str) -> dict[str, np.ndarray]:
    found = release.embeddings("recmind", view)
    return dict(zip(found.ids, found.matrix, strict=True))


def _features(release: Release) -> set[str]:
    return {pin.name for pin in release.features("vector")}


def test_readers_get_renewed_vectors_of_tonight_and_never_a_release_without(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store: FeatureStore = open_store(str(project / "store"))
    before = store.release()
    _write(project, ("u0", "i1"), ("u0", "i3"), num_items=9)
    _run(project, "refresh", "--canary", "--no-promote")
    assert store.release().number == before.number
    assert _features(store.release("canary")) == {"item_text.text"}

    outcome = _renew(project, capsys)
    assert (outcome["num_users"], outcome["num_new_items"]) == (1, 1)
    _run(project, "publish")
    tonight = store.release()
    assert tonight.manifest.split == store.release("canary").manifest.split != before.manifest.split
    assert _features(tonight) == {"item_text.text", "recmind.item", "recmind.user"}
    users, earlier = _vectors(tonight, "user"), _vectors(before, "user")
    assert [user for user in earlier if not np.array_equal(users[user], earlier[user])] == ["u0"]
    assert _vectors(tonight, "item").keys() - _vectors(before, "item").keys() == {"i8"}

    _write(project, num_items=9)  # what u0 had was a mistake
    _run(project, "refresh", "--canary", "--no-promote")
    assert _renew(project, capsys)["num_users"] == 8
    _run(project, "publish")
    np.testing.assert_array_equal(_vectors(store.release(), "user")["u0"], earlier["u0"])

"""Items and users through a decoder of the project's own, from ingest to a release that names it."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_decoder import HIDDEN_SIZE, write_tiny_decoder

from cli.main import run
from featurestore.errors import LeakError
from featurestore.point_in_time import refuse_leaks
from featurestore.reader import open_store

pytest.importorskip("transformers")

_CONFIG = """
[ingest]
items = "items.parquet"
interactions = "events.parquet"
[encode]
encoder = "tiny"
[encoders.tiny]
encoder = "hidden_state"
model = "tiny/decoder"
folder = "decoder"
pooling = "last_token"
pooling_token = "<|pool|>"
instruction = "Taste: "
embedding_dim = 32
max_tokens = 64
"""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    items = [{"item_id": f"i{n}", "title": f"Kettle {n}"} for n in range(5)]
    events = [
        {"user_id": f"u{n % 2}", "item_id": f"i{n % 5}", "timestamp": n, "review": f"Boils {n}"}
        for n in range(10)
    ]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    pl.DataFrame(events).write_parquet(tmp_path / "events.parquet")
    write_tiny_decoder(tmp_path / "decoder")
    (tmp_path / "featurestore.toml").write_text(_CONFIG)
    assert run(["ingest", "-C", str(tmp_path)]) == 0
    capsys.readouterr()
    return tmp_path


def test_items_and_users_get_vectors_of_one_space(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for feature, count in (("item_text", 5), ("user_text", 2)):
        assert run(["embed", "-C", str(project), "--json", "--feature", feature]) == 0
        outcome = json.loads(capsys.readouterr().out)
        assert outcome["encoder"]["pooling_token"] == "<|pool|>"
        assert outcome["encoder"]["model"].startswith("folder:")
        (view,) = outcome["views"]
        assert (view["num_texts"], view["num_encoded"]) == (count, count)
    assert run(["embed", "-C", str(project), "--json", "--feature", "user_text"]) == 0
    (view,) = json.loads(capsys.readouterr().out)["views"]
    assert (view["num_encoded"], view["num_current"]) == (0, 2)
    assert run(["publish", "-C", str(project), "--feature", "item_text", "--feature", "user_text"]) == 0
    release = open_store(str(project / "store")).release("production")
    items, users = release.embeddings("item_text"), release.embeddings("user_text")
    assert users.matrix.shape == (2, HIDDEN_SIZE)
    assert np.isfinite(users.matrix).all()
    assert items.encoder == users.encoder


def test_a_release_knows_which_events_user_texts_read(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["embed", "-C", str(project), "--feature", "user_text"]) == 0
    assert run(["publish", "-C", str(project), "--feature", "user_text"]) == 0
    manifest = open_store(str(project / "store")).release("production").manifest
    pin = next(pin for pin in manifest.pins if pin.spec.kind == "vector")
    assert manifest.split is not None
    assert pin.event_sets == (f"{manifest.split.checksum[:16]}:train",)
    refuse_leaks(manifest, pin, ["train"], first_events=dict)
    with pytest.raises(LeakError, match=r"vector user_text\.text of release 1 read events of"):
        refuse_leaks(manifest, pin, [], first_events=dict)
    capsys.readouterr()

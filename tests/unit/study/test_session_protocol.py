"""SR-GNN's protocol as a script: what it refuses, and that its figures are those of ranks by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.data import group_by_time
from recommender.models.gru4rec import Config, Model
from scripts.session_protocol import measure
from scripts.study.session_slice import SOURCE, official_slice

TRAIN = [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 1], [5, 1, 2]] * 4
TEST = [[1, 2, 3, 4], [4, 5], [9, 2]]
SETTINGS = {"epochs": "2", "embedding_dim": "4", "hidden_dim": "4"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / SOURCE).mkdir()
    splits = ["train"] * len(TRAIN) + ["test"] * len(TEST)
    table = {"session_id": range(len(splits)), "split": splits, "items": [*TRAIN, *TEST]}
    pl.DataFrame(table).write_parquet(tmp_path / SOURCE / "sessions.parquet")
    return tmp_path


def test_every_known_next_click_of_the_test_is_ranked(data, capsys):
    measure("gru4rec", SETTINGS, data, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "20 training sessions, 5 items, 4 test prefixes (1 test clicks on other items left out)"
    )
    model = Model(Config(epochs=2, embedding_dim=4, hidden_dim=4))
    model.fit(official_slice(data, 1).data, features=None, seed=0, progress=no_progress)
    asked = [[0], [0, 1], [0, 1, 2], [3]]
    rows = np.repeat(np.arange(4), [len(line) for line in asked])
    scores = model.with_histories(group_by_time(rows, np.concatenate(asked), 4)).score(np.arange(4))
    ranks = [1 + int((line > line[item]).sum()) for line, item in zip(scores, (1, 2, 3, 4), strict=True)]
    assert f"mrr@10 {np.mean([1 / rank for rank in ranks]):.4f}" in lines[-1]
    assert lines[-1].startswith("gru4rec hr@10 1.0000")


def test_what_cannot_be_measured_is_refused(data):
    with pytest.raises(UsageError, match="popularity reads no histories"):
        measure("popularity", {}, data, 1)
    with pytest.raises(UsageError, match="--share 0 is no part of the sessions"):
        measure("gru4rec", SETTINGS, data, 0)
    with pytest.raises(UsageError, match="1/3 of 20 training sessions is 6; the newest of 10 validates"):
        measure("gru4rec", SETTINGS, data, 3)

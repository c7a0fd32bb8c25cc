"""Diginetica as interactions, and SR-GNN's protocol on a part of it, against loops over sessions."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from featurestore.errors import InputError
from recommender.registry import model_names
from scripts.study import llmgr
from scripts.study.session_slice import SLICE, SOURCE, official_slice, write_slice

TRAIN = [
    [1, 2, 1],
    [3, 1],
    [2, 3, 3, 1],
    [1, 3],
    [2, 1, 2],
    [1, 2, 3],
    [3, 2],
    [2, 1, 3],
    [1, 2],
    [3, 2, 1],
] * 2
TEST = [[1, 9, 2, 2], [9, 3], [3, 2, 1]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / SOURCE
    folder.mkdir()
    sessions = [*TRAIN, *TEST]
    splits = ["train"] * len(TRAIN) + ["test"] * len(TEST)
    table = pl.DataFrame({"session_id": range(len(sessions)), "split": splits, "items": sessions})
    table.sample(fraction=1.0, shuffle=True, seed=0).write_parquet(folder / "sessions.parquet")
    return tmp_path


def test_the_newest_sessions_are_trained_on_and_every_test_prefix_asked(data):
    found = official_slice(data, 2)
    train = TRAIN[-10:]
    assert (found.data.num_users, found.data.num_items) == (10, 3)
    histories = [(found.data.histories.of(row) + 1).tolist() for row in range(10)]
    assert histories[:9] == train[:9]
    assert histories[9] == train[9][:-1]
    assert found.data.valid.users.tolist() == [9]
    assert (found.data.valid.items + 1).tolist() == [train[9][-1]]
    prefixes = [(found.prefixes.of(row) + 1).tolist() for row in range(len(found.prefixes))]
    assert prefixes == [[1], [1, 2], [3], [3, 2]]  # item 9 is none that was trained on
    assert (found.held_out.items + 1).tolist() == [2, 2, 2, 1]
    assert found.held_out.seen.degrees.sum() == 0
    assert found.num_left_out == 2


def test_the_slice_is_a_data_set_of_interactions(data, tmp_path):
    sessions = pl.DataFrame(
        {"session_id": range(80), "split": ["train"] * 80, "items": [[1, 2, 3, 1]] * 79 + [[4, 4, 4, 4, 1]]}
    )
    sessions.write_parquet(data / SOURCE / "sessions.parquet")
    folder = write_slice(data, tmp_path / "sources")
    events = pl.read_parquet(folder / SLICE.name / "interactions.parquet")
    assert events.columns == ["user_id", "item_id", "position"]
    assert events["user_id"].n_unique() == 19  # of twenty; item 4 has four clicks
    first = events.filter(user_id="s60")
    assert first.rows() == [("s60", f"i{item}", n) for n, item in enumerate([1, 2, 3, 1])]


def test_absent_sessions_are_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no .*sessions\.parquet\.\n  Name the folder"):
        write_slice(tmp_path, tmp_path)


def test_runs_name_models_that_exist_and_each_once():
    runs = [*llmgr.minimum(), *llmgr.queue()]
    assert {run.model for run in runs} <= set(model_names())
    names = [run.name for run in llmgr.minimum()]
    assert len(set(names)) == len(names)


@pytest.mark.real_data
def test_the_slice_of_diginetica(data_folder, tmp_path):
    folder = write_slice(data_folder, tmp_path)
    events = pl.read_parquet(folder / SLICE.name / "interactions.parquet")
    lengths = events.group_by("user_id").len()["len"]
    assert (lengths.len(), events.height, events["item_id"].n_unique()) == (27_660, 152_696, 10_721)
    assert lengths.min() == 3
    assert lengths.max() <= 50
    assert events.group_by("item_id").len()["len"].min() == 5
    found = official_slice(data_folder, 1)
    assert len(found.held_out) == 60_858
    assert found.num_left_out == 0
    assert int(np.maximum(found.data.histories.lengths - 1, 0).sum()) + len(found.data.valid) <= 719_470

"""The script that computes runs of the generative form: what it does not even begin with."""

import argparse
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import SetupError, UnknownNameError, UsageError
from scripts import generative
from scripts.study import datasets, generative_world, project_copy
from scripts.study.datasets import data_digest, find_dataset
from scripts.study.generative_runs import chosen
from scripts.study.generative_world import World, prepared


def options(folder: Path, **given) -> argparse.Namespace:
    usual = {"only": [], "set": [], "name": None, "seed": 0, "list": True, "lists": None, "again": False}
    return argparse.Namespace(**(usual | {"data": folder, "minutes": None} | given))


@pytest.fixture
def data(tmp_path):
    (tmp_path / "amazon14-beauty").mkdir()
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "amazon14-beauty" / "items.parquet")
    return tmp_path


def test_patterns_choose_runs():
    assert [run.name for run in chosen(["*/p5*", "amazon14-beauty/pod"])] == [
        "p5",
        "pod",
        "p5-sequential",
        "p5-codes",
    ]


def test_a_pattern_that_fits_nothing_is_an_error(data):
    with pytest.raises(UnknownNameError, match=r"unknown run 'beauty/isfr'\. Did you mean .*Known: amazon14"):
        generative.work(options(data, only=["beauty/isfr"]))


def test_settings_are_pairs_and_need_a_name(data, capsys):
    with pytest.raises(UsageError, match="--set is KEY=VALUE, got 'dropout'"):
        generative.work(options(data, set=["dropout"]))
    with pytest.raises(UsageError, match="amazon14-beauty/isrf is another run, which needs a name"):
        generative.work(options(data, set=["dropout=0.2"]))
    generative.work(options(data, only=["*/isrf"], set=["dropout=0.2"], name="dropout"))
    assert capsys.readouterr().out.split() == ["due", "amazon14-beauty/isrf-dropout", "dropout=0.2"]


def test_lists_that_the_beam_cannot_give_are_refused_before_training(data, release):
    world = World(find_dataset("amazon14-beauty"), "d", release, data)
    [run] = chosen(["*/isrf"])
    for length in (0, 21):
        with pytest.raises(UsageError, match=f"lists of {length} items were asked for"):
            generative.compute(run, world, options(data, lists=length))


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Where copies go; every data set counts as prepared."""
    monkeypatch.setattr(generative_world, "PROJECTS", tmp_path / "copies")
    monkeypatch.setattr(datasets, "CACHE", tmp_path / "prepared")

    def prepare(dataset, data):
        dataset.project.mkdir(parents=True, exist_ok=True)
        (dataset.project / "of.txt").write_text(data_digest(dataset, data), encoding="utf-8")

    monkeypatch.setattr(project_copy, "prepare", prepare)
    return tmp_path / "copies"


def test_other_data_have_a_copy_of_their_own(tmp_path, copies):
    dataset, found = find_dataset("gowalla"), []
    (tmp_path / "gowalla").mkdir()
    for value in (1, 1, 2):
        pl.DataFrame({"x": [value]}).write_parquet(tmp_path / "gowalla" / "interactions.parquet")
        found.append(prepared(dataset, tmp_path))
        assert (found[-1] / "of.txt").read_text(encoding="utf-8") == data_digest(dataset, tmp_path)
    assert found[0] == found[1] != found[2]
    assert sorted(copies.iterdir()) == sorted(set(found))


def test_a_copy_that_fails_is_not_left(data, copies):
    message = (
        r"`featurestore semantic-ids --feature item_text` for amazon14-beauty ended with exit code [1-9]"
    )
    with pytest.raises(SetupError, match=message):
        prepared(find_dataset("amazon14-beauty"), data)
    assert not list(copies.iterdir())

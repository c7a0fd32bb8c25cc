"""Which saved models are averaged, and which are refused: copies, stopped trainings, seeds as baselines."""

import json
import re
import shutil

import pytest
from toy_store import QUICK, add_vectors, fill

from featurestore.errors import StoreError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.stores.memory import MemoryStore
from recommender.evaluation.compare import ComparisonRequest, compare_models
from recommender.evaluation.model_groups import group_models
from recommender.experiment import TrainRequest, train_models

FEW = QUICK | {"epochs": "3", "eval_every": "1"}


@pytest.fixture(scope="module")
def models(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    train_models(toy.release(), TrainRequest("lightgcn", FEW, seeds=(0, 1)), folder / "gcn")
    train_models(toy.release(), TrainRequest("popularity"), folder / "pop")

    def interrupt(done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 2:
            raise KeyboardInterrupt

    request = TrainRequest("lightgcn", FEW, seeds=(5,))
    assert train_models(toy.release(), request, folder / "stopped", progress=interrupt).interrupted
    return folder


def names(toy, folders, baseline="popularity"):
    report = compare_models(toy, folders, ComparisonRequest(baseline=str(baseline)))
    return {result.name: result.seeds for result in report.results}, report.baseline


def test_copies_of_a_seed_are_refused(models, tmp_path):
    shutil.copytree(models / "gcn" / "seed-0", tmp_path / "copy")
    message = (
        rf"{re.escape(str(models / 'gcn' / 'seed-0'))} and {re.escape(str(tmp_path / 'copy'))} hold the same "
        r"model: lightgcn of one configuration and of seed 0\. A seed counts once\.\n  Name one of them"
    )
    with pytest.raises(UsageError, match=message):
        group_models([models / "gcn", tmp_path / "copy"], "popularity")


def test_a_folder_named_twice_is_one_model(models):
    groups = group_models([models / "gcn", models / "gcn" / "seed-0"], "popularity")
    assert [[info.seed for _, info in group] for group in groups.values()] == [[0, 1]]


def test_a_stopped_training_is_not_averaged(models):
    message = (
        rf"{re.escape(str(models / 'stopped'))} is an interrupted model, not to be averaged with others of "
        r"the same configuration\.\n  Finish its training: the same command with --resume"
    )
    with pytest.raises(UsageError, match=message):
        group_models([models / "gcn", models / "stopped"], "popularity")


def test_a_stopped_training_alone_says_that_it_was(toy, models):
    report = compare_models(toy, [models / "stopped", models / "pop"])
    stated = {
        result["name"]: result["interrupted"]
        for result in json.loads(json.dumps(report.as_dict()))["results"]
    }
    assert stated == {"lightgcn (interrupted)": True, "popularity (trained)": False, "popularity": False}


@pytest.mark.parametrize("compared", [["gcn/seed-0"], ["gcn", "pop"]])
def test_a_seed_is_no_baseline_of_its_own_configuration(models, compared):
    baseline, other = (models / "gcn" / name for name in ("seed-1", "seed-0"))
    message = (
        rf"the baseline {re.escape(str(baseline))} and {re.escape(str(other))} are seeds of one "
        r"configuration\. Seeds are one result, so nothing would be compared\."
    )
    with pytest.raises(UsageError, match=message):
        group_models([models / name for name in compared], str(baseline))


def test_a_baseline_that_is_compared_as_it_stands_is_kept(toy, models):
    gcn, pop = models / "gcn", models / "pop"
    both = {"lightgcn": (0, 1), "popularity (trained)": (0,), "popularity": ()}
    assert names(toy, [gcn, pop], gcn) == (both, "lightgcn")
    assert names(toy, [gcn / "seed-0", gcn / "seed-1", pop], gcn) == (both, "lightgcn")
    assert names(toy, [gcn / "seed-0", gcn / "seed-1", pop], gcn / "seed-1") == (both, "lightgcn")
    one = both | {"lightgcn": (1,)}
    assert names(toy, [gcn / "seed-1", pop], gcn / "seed-1") == (one, "lightgcn")
    assert names(toy, [pop], gcn / "seed-1") == (one, "lightgcn")


def test_models_of_two_releases_are_both_named(tmp_path):
    store = MemoryStore("two")
    fill(store, tmp_path)
    reader = FeatureStore(store)
    train_models(reader.release(), TrainRequest("popularity"), tmp_path / "old")
    add_vectors(store, tmp_path, "extra", range(9), encoder="toy")
    publish(store, gates=GatePolicy())
    train_models(reader.release(), TrainRequest("popularity"), tmp_path / "new")
    old, new = (re.escape(str(tmp_path / name)) for name in ("old", "new"))
    message = (
        rf"fitted on several: the popularity in {old} on release 1; the popularity in {new} on release 2\."
        r"\n  Compare those of each release on their own"
    )
    with pytest.raises(StoreError, match=message):
        group_models([tmp_path / "old", tmp_path / "new"], "popularity")

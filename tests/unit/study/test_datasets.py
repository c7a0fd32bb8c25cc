"""A data set is prepared once, goes on where it was stopped, and begins anew when its files change."""

import pytest

from featurestore.errors import InputError, SetupError, UnknownNameError
from scripts.study import datasets
from scripts.study.datasets import DATASETS, Dataset, data_digest, find_dataset, prepare

SMALL = Dataset(
    name="small",
    steps=("init", "ingest --items {data}/items.parquet", "publish"),
    item_feature=None,
    user_feature=None,
    texts="none",
    cutoff=10,
    monitor="ndcg@10",
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of evaluation data with one file of the small set."""
    monkeypatch.setattr(datasets, "CACHE", tmp_path / "cache")
    (tmp_path / "data" / "small").mkdir(parents=True)
    (tmp_path / "data" / "small" / "items.parquet").write_bytes(b"one")
    return tmp_path / "data"


@pytest.fixture
def steps(monkeypatch):
    """Steps in the order in which they were run; ``publish`` fails the first time."""
    done: list[str] = []

    def run(dataset, step, folder):
        done.append(step)
        dataset.project.mkdir(parents=True, exist_ok=True)
        if done.count("publish") == 1 and step == "publish":
            raise SetupError("a full disk")

    monkeypatch.setattr(datasets, "_run", run)
    return done


def test_preparation_goes_on_where_it_stopped_and_is_done_once(data, steps):
    with pytest.raises(SetupError, match="a full disk"):
        prepare(SMALL, data)
    prepare(SMALL, data)
    prepare(SMALL, data)
    assert steps == [*SMALL.steps, "publish"]


def test_other_files_are_prepared_anew(data, steps):
    steps.append("publish")
    prepare(SMALL, data)
    before = data_digest(SMALL, data)
    (data / "small" / "items.parquet").write_bytes(b"two")
    assert data_digest(SMALL, data) != before
    prepare(SMALL, data)
    assert steps[1:] == [*SMALL.steps, *SMALL.steps]


def test_a_failing_command_is_named(data):
    broken = Dataset("small", ("publish",), None, None, "none", 10, "ndcg@10")
    broken.project.mkdir(parents=True)
    with pytest.raises(SetupError, match=r"`featurestore publish` for small ended with exit code [1-9]"):
        prepare(broken, data)


def test_absent_files_and_unknown_names_are_named(data):
    with pytest.raises(InputError, match="there are no files of gowalla in "):
        data_digest(DATASETS["gowalla"], data)
    with pytest.raises(UnknownNameError, match="gowala"):
        find_dataset("gowala")

"""Training that was stopped goes on as if it had not been, and refuses what is not its own."""

import numpy as np
import pytest

from featurestore.errors import InputError, StoreError, UsageError
from featurestore.progress import no_progress
from recommender.base import FitReport
from recommender.checkpoint import CheckpointFile, load_checkpoint
from recommender.data import training_data
from recommender.models.lightgcn import Config, Model
from recommender.testing import checkerboard, parity_features

CONFIG = Config(epochs=12, eval_every=3, batch_size=64, embedding_dim=8, schedule="cosine", patience=99)


def stop_after(epoch: int):
    def progress(done: int, total: int, note: str = "") -> None:
        del total, note
        if done == epoch:
            raise KeyboardInterrupt

    return progress


def fit(file, progress=no_progress, config: Config = CONFIG) -> tuple[dict, FitReport]:
    model = Model(config)
    data, _ = checkerboard()
    report = model.fit(data, features=parity_features(), seed=3, progress=progress, checkpoint=file)
    return model.arrays()["weights"], report


def test_stopped_training_goes_on_to_the_bit(tmp_path):
    whole, expected = fit(None)
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")
    for epoch in (5, 7, 10):  # between validations, what came after the last one is computed again
        _, report = fit(file, stop_after(epoch))
        assert report.interrupted
        assert file.path.exists()
    resumed, report = fit(file)
    again, _ = fit(file)  # the checkpoint of an ended training is its end
    np.testing.assert_array_equal(again["user_vectors"], resumed["user_vectors"])
    assert whole.keys() == resumed.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name], err_msg=name)
    assert [(r.epoch, r.loss, r.metric) for r in report.history] == [
        (r.epoch, r.loss, r.metric) for r in expected.history
    ]
    assert (report.best_epoch, report.epochs) == (expected.best_epoch, 12)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")
    fit(file, stop_after(4))
    other = CheckpointFile(file.path, "another run")
    with pytest.raises(UsageError, match=r"another training run \(identity this run, this one another run\)"):
        fit(other)
    assert file.path.exists()


def test_a_damaged_checkpoint_says_so(tmp_path):
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")
    assert load_checkpoint(file) is None
    fit(file, stop_after(4))
    file.path.write_bytes(file.path.read_bytes()[:100])
    with pytest.raises(StoreError, match="is damaged or no checkpoint"):
        load_checkpoint(file)


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")
    fit(file, stop_after(4))
    before = file.path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recommender.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        fit(file)
    assert file.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_nothing_to_learn_from_is_said():
    everything = (np.zeros(2, np.int64), np.arange(2))
    nothing = (np.array([], np.int64), np.array([], np.int64))
    data = training_data(num_users=1, num_items=2, train=everything, valid=nothing)
    with pytest.raises(InputError, match="there is nothing to learn from"):
        Model(CONFIG).fit(data, features=None, seed=0, progress=no_progress)

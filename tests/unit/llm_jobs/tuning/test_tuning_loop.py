"""The tuning loop: it learns, its steps are AdamW's, and a stopped job ends where it would have ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning_world import QUICK, WordClasses, toy_job

from featurestore.errors import InputError, LockHeldError, StorageFullError, UsageError
from featurestore.jobs.lock import FeatureLock
from featurestore.stores.memory import MemoryObjects
from llm_jobs.tuning.checkpoint import TuningCheckpoint
from llm_jobs.tuning.config import TuningConfig
from llm_jobs.tuning.loop import tune
from recommender.checkpoint import CheckpointFile


def learned(model: torch.nn.Module, objective: WordClasses) -> dict[str, torch.Tensor]:
    """Everything that a job leaves behind."""
    adapter = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    tensors = adapter | dict(objective.named_parameters()) | dict(objective.named_buffers())
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    different = [name for name, tensor in found.items() if not torch.equal(tensor, expected[name])]
    assert different == []


class _Stop:
    """Ctrl-C after some steps."""

    def __init__(self, after: int) -> None:
        self._after = after

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if done == self._after:
            raise KeyboardInterrupt


def test_the_loss_falls_and_the_base_stays_what_it_was(entry):
    config = QUICK.model_copy(update={"epochs": 8})
    model, objective = toy_job(entry, config)
    frozen = {n: w.clone() for n, w in model.named_parameters() if not w.requires_grad}
    report = tune(model, objective, config, seed=1)
    assert report.steps == len(report.losses) == 24
    assert np.mean(report.losses[-3:]) < 0.9 * np.mean(report.losses[:3])
    assert frozen
    assert all(torch.equal(w, frozen[n]) for n, w in model.named_parameters() if n in frozen)
    assert all(module.training is False for module in model.modules())


def test_a_resumed_job_equals_one_without_a_stop_to_the_bit(tmp_path, entry):
    model, objective = toy_job(entry, QUICK)
    whole = tune(model, objective, QUICK, seed=1)
    expected = learned(model, objective)

    checkpoint = TuningCheckpoint(CheckpointFile(tmp_path / "work" / "t.safetensors", "job"))
    model, objective = toy_job(entry, QUICK)
    with pytest.raises(KeyboardInterrupt):
        tune(model, objective, QUICK, seed=1, checkpoint=checkpoint, progress=_Stop(5))
    model, objective = toy_job(entry, QUICK)
    resumed = tune(model, objective, QUICK, seed=1, checkpoint=checkpoint)
    assert (resumed.resumed_at, resumed.steps) == (4, 9)
    assert resumed.losses == whole.losses
    assert_equal(learned(model, objective), expected)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["t.safetensors"]

    again = tune(*toy_job(entry, QUICK), QUICK, seed=1, checkpoint=checkpoint)
    assert (again.resumed_at, again.losses) == (9, whole.losses)


def test_a_job_that_was_killed_goes_on_to_the_same_end(tmp_path, project_root, decoder):
    file = tmp_path / "t.safetensors"
    process = subprocess.Popen(
        [sys.executable, project_root / "tests" / "tuning_job.py", decoder.model_dump_json(), file],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    checkpoint = TuningCheckpoint(CheckpointFile(file, "job"))
    model, objective = toy_job(decoder, QUICK)
    report = tune(model, objective, QUICK, seed=1, checkpoint=checkpoint)
    assert 2 <= report.resumed_at < 9
    found = learned(model, objective)
    model, objective = toy_job(decoder, QUICK)
    tune(model, objective, QUICK, seed=1)
    assert_equal(found, learned(model, objective))


def test_accumulated_batches_make_the_step_of_one_large_batch(decoder):
    plain = QUICK.model_copy(update={"lora_dropout": 0.0, "epochs": 1})
    outcomes = []
    for batch_size, accumulation in ((4, 2), (8, 1)):
        config = plain.model_copy(update={"batch_size": batch_size, "accumulation": accumulation})
        model, objective = toy_job(decoder, config)
        report = tune(model, objective, config, seed=1)
        outcomes.append((report.losses, learned(model, objective)))
    (small_losses, small), (large_losses, large) = outcomes
    np.testing.assert_allclose(small_losses, large_losses, rtol=1e-5)
    for name, tensor in small.items():
        np.testing.assert_allclose(tensor, large[name], atol=2e-4, err_msg=name)


def test_one_seed_decides_everything_and_the_processes_generator_nothing(decoder):
    losses = []
    for noise, seed in ((0, 1), (99, 1), (0, 2)):
        torch.manual_seed(noise)
        losses.append(tune(*toy_job(decoder, QUICK), QUICK, seed=seed).losses)
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


class _Distances(torch.nn.Module):
    """½ |w - target|² of each example: its gradient is w - target."""

    def __init__(self, targets: np.ndarray) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
        self._targets = torch.tensor(targets)
        self.order: list[list[int]] = []

    @property
    def num_examples(self) -> int:
        return len(self._targets)

    def loss(self, model: torch.nn.Module, examples: np.ndarray) -> torch.Tensor:
        self.order.append(examples.tolist())
        return 0.5 * ((self.weight - self._targets[examples]) ** 2).sum(dim=1).mean()

    def after_step(self) -> None:
        pass


def test_steps_are_adamws_written_by_hand():
    targets = np.random.default_rng(0).normal(size=(6, 2))
    config = TuningConfig(
        batch_size=2,
        accumulation=2,
        epochs=1,
        head_learning_rate=0.1,
        weight_decay=0.2,
        max_grad_norm=0.7,
        warmup_steps=2,
    )
    objective = _Distances(targets)
    report = tune(torch.nn.Identity(), objective, config, seed=4)
    assert list(map(len, objective.order)) == [2, 2, 2]

    weight, first, second = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    steps = [objective.order[0] + objective.order[1], objective.order[2]]
    for number, examples in enumerate(steps, start=1):
        gradient = (weight - targets[examples]).mean(axis=0)
        loss = 0.5 * ((weight - targets[examples]) ** 2).sum(axis=1).mean()
        assert report.losses[number - 1] == pytest.approx(loss, rel=1e-6)
        gradient *= min(1.0, 0.7 / (np.linalg.norm(gradient) + 1e-6))
        rate = 0.1 * number / 2
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight = weight * (1 - rate * 0.2)
        weight -= rate * (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - 0.999**number)) + 1e-8)
    np.testing.assert_allclose(objective.weight.detach().numpy(), weight, rtol=1e-6)


def test_nothing_to_tune_on_is_refused():
    with pytest.raises(InputError, match="there is nothing to tune on: no examples"):
        tune(torch.nn.Identity(), _Distances(np.zeros((0, 2))), QUICK, seed=0)


def _saved_once(path: Path) -> bytes:
    objective = _Distances(np.ones((4, 2)))
    config = TuningConfig(batch_size=4, epochs=1)
    tune(torch.nn.Identity(), objective, config, seed=0, checkpoint=_checkpoint(path))
    return path.read_bytes()


def _checkpoint(path: Path, *, identity: str = "job", lock: FeatureLock | None = None) -> TuningCheckpoint:
    return TuningCheckpoint(CheckpointFile(path, identity), lock)


def test_a_checkpoint_of_another_job_is_refused(tmp_path):
    path = tmp_path / "t.safetensors"
    _saved_once(path)
    objective = _Distances(np.ones((4, 2)))
    with pytest.raises(UsageError, match="belongs to another training run"):
        tune(torch.nn.Identity(), objective, QUICK, seed=0, checkpoint=_checkpoint(path, identity="other"))


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    path = tmp_path / "t.safetensors"
    before = _saved_once(path)

    def full(*_: object) -> None:
        path.with_name("t.safetensors.fresh").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llm_jobs.tuning.checkpoint.save_checkpoint", full)
    with pytest.raises(StorageFullError, match="no space left on the device"):
        _checkpoint(path).save(1, {"weight.a": torch.ones(2)}, [0.0])
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_job_that_lost_its_lock_writes_nothing_more(tmp_path):
    path, objects = tmp_path / "t.safetensors", MemoryObjects()
    before = _saved_once(path)
    with FeatureLock(objects, "tuning.recmind") as lock:
        objects.put_new(f"locks/tuning.recmind/{lock.epoch + 1:09d}.owner", b"{}")
        with pytest.raises(LockHeldError, match=r"this job lost its lock on tuning\.recmind"):
            _checkpoint(path, lock=lock).save(2, {"weight.a": torch.ones(2)}, [0.0])
    assert path.read_bytes() == before

from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.checkpoint import CheckpointFile
from recommender.data import training_data
from recommender.models import bpr_mf
from recommender.testing import checkerboard
from recommender.training.config import TrainerConfig, learning_rate_at
from recommender.training.divergence import DivergedError
from recommender.training.sampling import PairBatch
from recommender.training.trainer import train, train_step, validate

NOISE = torch.Generator()


class Quadratic(torch.nn.Module):
    """loss = Σ (w - users)²: its gradient is known by hand."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        return (self.weight - torch.from_numpy(batch.users).float()).square().sum()


def adam_by_hand(weight: np.ndarray, targets: list[np.ndarray], learning_rate: float) -> np.ndarray:
    """Kingma and Ba, algorithm 1, with gradient 2 (w - target) of each step alone."""
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for step, target in enumerate(targets, start=1):
        grad = 2 * (weight - target)
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        unbiased = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        weight = weight - learning_rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return weight


def test_two_steps_equal_a_reference_written_by_hand():
    model = Quadratic()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.3, fused=True)
    targets = [np.array([3, 1]), np.array([-4, 2])]
    for target in targets:
        train_step(model.loss, optimizer, PairBatch(target, target, target), NOISE, TrainerConfig())
    expected = adam_by_hand(np.array([1.0, -2.0]), targets, 0.3)
    np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-5)


def test_a_weight_that_a_batch_does_not_read_is_moved_by_its_moments():
    weights = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    reference = torch.nn.Parameter(torch.ones(2))
    optimizer, by_zeros = (torch.optim.Adam(of, lr=0.3, fused=True) for of in (weights, [reference]))

    def loss(batch: bool, noise: torch.Generator) -> torch.Tensor:
        return (weights[0].sum() + 2 * weights[1].sum()) if batch else weights[0].sum()

    for reads_both in (True, False):
        train_step(loss, optimizer, reads_both, NOISE, TrainerConfig())
        reference.grad = torch.full((2,), 2.0 * reads_both)
        by_zeros.step()
    assert torch.equal(weights[1], reference)
    assert weights[1][0] < 0.5


class TakingTurns(torch.nn.Module):
    """Whose first batch of an epoch reads one weight, and the second both."""

    num_batches = 2

    def __init__(self):
        super().__init__()
        self.always = torch.nn.Parameter(torch.ones(2))
        self.sometimes = torch.nn.Parameter(torch.ones(2))

    def epoch(self, generator):
        yield from (False, True)

    def loss(self, batch: bool, noise: torch.Generator) -> torch.Tensor:
        loss = self.always.square().sum()
        return loss + self.sometimes.square().sum() if batch else loss


class Scripted:
    """A model whose validation gets better until epoch 3 and worse from then on."""

    def __init__(self, stop_at: int | None = None):
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.epochs = 0
        self.stop_at = stop_at

    num_batches = 1

    def named_parameters(self):
        return iter([("weight", self.weight)])

    def epoch(self, generator):
        yield None

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        self.epochs += 1
        if self.epochs == self.stop_at:
            raise KeyboardInterrupt
        with torch.no_grad():
            self.weight.fill_(float(self.epochs))
        return (self.weight * 0.0).sum()

    def score_vectors(self):
        best = 3.0 - abs(self.weight.item() - 3.0)
        return torch.tensor([[1.0]]), torch.tensor([[0.0], [best], [0.5], [1.5], [2.5]])


def one_user(valid_item: int | None = 1):
    valid = np.array([0] if valid_item is not None else [], np.int64)
    items = np.array([valid_item] if valid_item is not None else [], np.int64)
    return training_data(num_users=1, num_items=5, train=(np.array([0]), np.array([0])), valid=(valid, items))


CONFIG = TrainerConfig(epochs=40, eval_every=1, patience=2, monitor="ndcg@10")


def test_training_stops_and_keeps_the_best_epoch():
    model = Scripted()
    report = train(model, one_user(), CONFIG, seed=0, progress=no_progress)
    assert (report.epochs, report.best_epoch, report.best_metric) == (5, 3, 1.0)
    assert model.weight.item() == 3.0
    assert not report.interrupted
    assert [record.epoch for record in report.history] == [1, 2, 3, 4, 5]


def test_ctrl_c_keeps_the_best_epoch():
    model = Scripted(stop_at=5)
    report = train(model, one_user(), CONFIG, seed=0, progress=no_progress)
    assert report.interrupted
    assert report.best_epoch == 3
    assert model.weight.item() == 3.0


def test_ctrl_c_before_the_first_validation_is_passed_on():
    with pytest.raises(KeyboardInterrupt):
        train(Scripted(stop_at=1), one_user(), CONFIG, seed=0, progress=no_progress)


def test_without_validation_events_all_epochs_run():
    model = Scripted()
    report = train(model, one_user(None), CONFIG, seed=0, progress=no_progress)
    assert (report.epochs, report.best_epoch, report.best_metric) == (40, 40, None)
    assert model.weight.item() == 40.0


def test_what_a_first_batch_does_not_read_is_resumed_to_the_bit(tmp_path):
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    found = []
    for checkpoint, progress in ((None, no_progress), (file, stop), (file, no_progress)):
        model, config = TakingTurns(), TrainerConfig(epochs=4, eval_every=1, learning_rate=0.1)
        train(model, one_user(None), config, seed=0, progress=progress, checkpoint=checkpoint)
        found.append(model.sometimes.detach().clone())
    whole, stopped, resumed = found
    assert not torch.equal(whole, stopped)
    assert torch.equal(whole, resumed)


def test_validation_masks_training_items():
    data = one_user(valid_item=4)
    assert validate(Scripted(), data, "ndcg@5") == 1.0


def test_a_schedule_warms_up_and_falls():
    cosine = TrainerConfig(epochs=10, learning_rate=1.0, schedule="cosine", warmup_epochs=2)
    rates = [learning_rate_at(cosine, epochs) for epochs in (0.0, 1.0, 2.0, 6.0, 10.0)]
    np.testing.assert_allclose(rates, [0.0, 0.5, 1.0, 0.5, 0.0], atol=1e-12)
    linear = TrainerConfig(epochs=10, learning_rate=1.0, schedule="linear")
    np.testing.assert_allclose([learning_rate_at(linear, e) for e in (0.0, 2.5, 10.0)], [1.0, 0.75, 0.0])
    assert learning_rate_at(TrainerConfig(epochs=10, learning_rate=0.3), 10.0) == 0.3


def test_a_warm_up_longer_than_training_is_refused():
    with pytest.raises(ValidationError, match=r"warmup_epochs=2\.5 is above epochs=2, and the learning rate"):
        TrainerConfig(epochs=2, warmup_epochs=2.5)
    assert learning_rate_at(TrainerConfig(epochs=2, warmup_epochs=2, learning_rate=0.3), 2.0) == 0.3


def test_long_gradients_are_scaled_down():
    model = Quadratic()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    target = np.array([4, -2])  # the gradient is (-6, 0)
    batch = PairBatch(target, target, target)
    train_step(model.loss, optimizer, batch, NOISE, TrainerConfig(max_grad_norm=0.5))
    np.testing.assert_allclose(model.weight.detach().numpy(), [1.5, -2.0], rtol=1e-5)


class Diverging(Scripted):
    """Whose loss is no number from the second epoch on."""

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        loss = super().loss(batch, noise)
        return loss if self.epochs < 2 else loss * float("nan")


@pytest.mark.parametrize("valid_item", [1, None])
def test_a_training_that_diverges_leaves_no_model(valid_item):
    config = TrainerConfig(epochs=9, eval_every=1)
    with pytest.raises(DivergedError, match=r"diverged: the loss of epoch 2 is nan\.\n  Lower learning_rate"):
        train(Diverging(), one_user(valid_item), config, seed=0, progress=no_progress)


def test_mixed_precision_is_for_cuda():
    with pytest.raises(ValueError, match="precision=bfloat16 needs device=cuda"):
        TrainerConfig(precision="bfloat16")


class Stranger(Scripted):
    """Two users; the second has no training events, and vectors that nobody trained."""

    def score_vectors(self):
        return torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.0], [3.0], [2.0]])


def test_validation_scores_a_user_without_events_as_the_saved_model_does():
    train, valid = (np.array([0]), np.array([0])), (np.array([1]), np.array([1]))
    data = training_data(num_users=2, num_items=3, train=train, valid=valid)
    assert validate(Stranger(), data, "ndcg@5") == 1.0  # as the average user, not by its own -1


def test_a_loss_is_compiled_on_request(monkeypatch):
    asked = []

    def note(loss):
        asked.append(loss)
        return loss

    monkeypatch.setattr(torch, "compile", note)
    for wanted in (False, True):
        model = Scripted()
        config = TrainerConfig(epochs=4, eval_every=1, compile=wanted)
        fit = train(model, one_user(1), config, seed=0, progress=no_progress)
        assert fit.best_epoch == 3
        assert asked == ([model.loss] if wanted else [])


def test_a_loss_that_cannot_be_compiled_says_so(monkeypatch):
    def refuse(batch, noise):
        raise AssertionError("no such graph\nand fifty lines more")

    monkeypatch.setattr(torch, "compile", lambda _: refuse)
    with pytest.raises(UsageError, match=r"AssertionError: no such graph\n  Leave compile out"):
        train(Scripted(), one_user(1), TrainerConfig(epochs=1, compile=True), seed=0, progress=no_progress)


def test_a_compiled_loss_trains_as_the_loss_itself(monkeypatch):
    monkeypatch.setattr(
        torch, "compile", partial(torch.compile, backend="aot_eager")
    )  # needs no C++ compiler
    data, _ = checkerboard()
    losses = []
    for wanted in (False, True):
        config = bpr_mf.Config(epochs=2, eval_every=1, batch_size=64, embedding_dim=8, compile=wanted)
        network = bpr_mf.Network(config, data, (None, None), 0)
        fit = train(network, data, config, seed=0, progress=no_progress)
        losses.append([record.loss for record in fit.history])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)

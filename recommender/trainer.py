"""The one training loop: epochs, validation, early stopping, best weights kept.

The loop is never handed test data. All randomness comes from one seed: NumPy draws batches, torch draws the
first weights, each from a generator of its own.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from pydantic import Field

from featurestore.progress import Progress
from featurestore.spec import Frozen
from recommender.base import EpochRecord, FitReport
from recommender.data import FloatArray, IntArray, TrainingData
from recommender.evaluate import evaluate_ranking
from recommender.sampling import PairBatch, PairSampler


class TrainerConfig(Frozen):
    """Settings of the loop; models add their own."""

    epochs: int = Field(default=200, ge=1, description="Passes over the training pairs at most.")
    batch_size: int = Field(default=2048, ge=1, description="Training pairs per optimiser step.")
    learning_rate: float = Field(default=0.005, gt=0, description="Step size of Adam.")
    eval_every: int = Field(default=5, ge=1, description="Epochs between two validations.")
    patience: int = Field(
        default=5, ge=1, description="Validations without a better value after which training stops."
    )
    monitor: Literal["ndcg@5", "ndcg@10", "ndcg@20", "hr@10", "recall@10", "recall@20"] = Field(
        default="ndcg@10", description="Validation metric that chooses the epoch to keep."
    )


class TrainableModel(Protocol):
    """What the loop needs of a model; any `torch.nn.Module` with these two methods."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """All weights that learn."""
        ...

    def loss(self, batch: PairBatch) -> torch.Tensor:
        """Training loss of one batch: a scalar () float32 that carries gradients."""
        ...

    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) vectors whose inner products are the scores, without gradients."""
        ...


@dataclass
class _Progressed:
    """The best weights so far and the way there."""

    monitor: str
    started: float = field(default_factory=time.monotonic)
    best_epoch: int = 0
    best_metric: float | None = None
    best_weights: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    history: list[EpochRecord] = field(default_factory=list[EpochRecord])
    step_seconds: list[float] = field(default_factory=list[float])

    def record(self, epoch: int, loss: float, metric: float | None, model: TrainableModel) -> None:
        self.history.append(EpochRecord(epoch, loss, metric, time.monotonic() - self.started))
        if metric is None or self.best_metric is None or metric > self.best_metric:
            self.best_epoch, self.best_metric = epoch, metric
            self.best_weights = [weight.detach().clone() for weight in model.parameters()]

    def validations_since_best(self) -> int:
        return sum(record.epoch > self.best_epoch for record in self.history)

    def report(self, epochs: int, *, interrupted: bool) -> FitReport:
        return FitReport(
            epochs=epochs,
            best_epoch=self.best_epoch,
            best_metric=self.best_metric,
            monitor=self.monitor,
            seconds=time.monotonic() - self.started,
            step_milliseconds=1000 * float(np.median(self.step_seconds)) if self.step_seconds else 0.0,
            interrupted=interrupted,
            history=tuple(self.history),
        )


def train(
    model: TrainableModel, data: TrainingData, config: TrainerConfig, *, seed: int, progress: Progress
) -> FitReport:
    """Train until validation stops getting better; leave the best weights in ``model``.

    Without validation events all epochs run and the last weights are kept. Ctrl-C ends training and keeps the
    best weights, if there are any; before the first validation it is passed on.
    """
    sampler = PairSampler(data, config.batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    generator = np.random.default_rng(seed)
    state = _Progressed(config.monitor)
    epoch, interrupted = 0, False
    try:
        for epoch in range(1, config.epochs + 1):
            loss = train_epoch(model, optimizer, sampler, generator, state.step_seconds)
            if epoch % config.eval_every == 0 or epoch == config.epochs:
                state.record(epoch, loss, validate(model, data, config.monitor), model)
            progress(epoch, config.epochs, _note(loss, state))
            if state.validations_since_best() >= config.patience:
                break
    except KeyboardInterrupt:
        if not state.best_weights:
            raise
        interrupted = True
    with torch.no_grad():
        for weight, best in zip(model.parameters(), state.best_weights, strict=True):
            weight.copy_(best)
    return state.report(epoch, interrupted=interrupted)


def train_epoch(
    model: TrainableModel,
    optimizer: torch.optim.Optimizer,
    sampler: PairSampler,
    generator: np.random.Generator,
    step_seconds: list[float],
) -> float:
    """One pass over the training pairs; returns the mean loss and appends each step's seconds."""
    total = 0.0
    for batch in sampler.epoch(generator):
        started = time.perf_counter()
        total += train_step(model, optimizer, batch)
        step_seconds.append(time.perf_counter() - started)
    return total / max(sampler.num_batches, 1)


def train_step(model: TrainableModel, optimizer: torch.optim.Optimizer, batch: PairBatch) -> float:
    """One optimiser step from fresh gradients; returns the loss before the step."""
    # Gradients are zeroed in place: their memory is used again, instead of megabytes of new pages per step.
    optimizer.zero_grad(set_to_none=False)
    loss = model.loss(batch)
    loss.backward()
    optimizer.step()
    return loss.item()


def validate(model: TrainableModel, data: TrainingData, monitor: str) -> float | None:
    """The monitored metric on the validation part, training pairs masked; None if the part is empty."""
    if not len(data.valid):
        return None
    user_vectors, item_vectors = model.score_vectors()

    def score(users: IntArray) -> FloatArray:
        return score_users(user_vectors, item_vectors, users)

    cutoff = int(monitor.split("@")[1])
    return evaluate_ranking(score, data.valid, cutoffs=(cutoff,)).means()[monitor]


def score_users(user_vectors: torch.Tensor, item_vectors: torch.Tensor, users: IntArray) -> FloatArray:
    """(n, I) inner products of the users' vectors with all items'."""
    return (user_vectors.index_select(0, torch.from_numpy(users)) @ item_vectors.T).numpy()


def _note(loss: float, state: _Progressed) -> str:
    best = "" if state.best_metric is None else f", best {state.monitor} {state.best_metric:.4f}"
    return f"loss {loss:.4f}{best}"

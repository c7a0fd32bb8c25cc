"""The one training loop: epochs, validation, early stopping, best weights kept, checkpoints.

The loop is never handed test data. All randomness comes from one seed: NumPy draws batches, torch draws first
weights, noise and dropout, each from a generator of its own.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from featurestore.errors import InputError
from featurestore.progress import Progress
from recommender.base import EpochRecord, FitReport
from recommender.checkpoint import CheckpointFile, TrainingState, load_checkpoint, save_checkpoint
from recommender.data import FloatArray, IntArray, TrainingData
from recommender.evaluate import evaluate_ranking
from recommender.training.compiled import Loss, compiled
from recommender.training.config import TrainerConfig, learning_rate_at, training_device
from recommender.training.divergence import require_finite

BatchT = TypeVar("BatchT")


class Trainable(Protocol[BatchT]):
    """What the loop needs of a model: a `torch.nn.Module` with these methods.

    All state that an epoch needs is derived from weights and generators when the epoch begins, so that
    training can go on from a checkpoint.
    """

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """All weights that learn."""
        ...

    def epoch(self, generator: np.random.Generator) -> Iterator[BatchT]:
        """One pass over the training data, in random order."""
        ...

    def loss(self, batch: BatchT, noise: torch.Generator) -> torch.Tensor:
        """Training loss of one batch: a scalar () float32 that carries gradients.

        Args:
            batch: One of `epoch`.
            noise: Source of dropout and perturbations, on the model's device.
        """
        ...

    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) vectors whose inner products are the scores, without gradients."""
        ...


def train(
    model: Trainable[Any],
    data: TrainingData,
    config: TrainerConfig,
    *,
    seed: int,
    progress: Progress,
    checkpoint: CheckpointFile | None = None,
) -> FitReport:
    """Train until validation stops getting better; leave the best weights in ``model``.

    Without validation events all epochs run and the last weights are kept. Ctrl-C ends training and keeps the
    best weights, if there are any; before the first validation it is passed on.

    Args:
        model: Already on the device that the config names.
        data: Training and validation pairs.
        config: Settings of the loop.
        seed: Of batches and noise.
        progress: Told about epochs.
        checkpoint: Where state is kept at every validation. If there is one, training goes on from it. It
            stays when training has ended: who has saved the model discards it.

    Raises:
        InputError: If there is not one batch to learn from.
        DivergedError: If the loss is no finite number any more.
        StoreError: If the checkpoint is damaged.
        UsageError: If it belongs to another run.
    """
    if not model.num_batches:
        raise InputError(
            "there is nothing to learn from: no user has an event to predict, or an item left to rank below.",
            hint="Ingest more interactions, or look at the split section of featurestore.toml.",
        )
    loop = _Loop(model, config, seed)
    if checkpoint is not None and (state := load_checkpoint(checkpoint)) is not None:
        loop.restore(state)
    interrupted = False
    try:
        while loop.epoch < config.epochs and not loop.has_converged():
            loss = loop.run_epoch()
            if loop.epoch % config.eval_every == 0 or loop.epoch == config.epochs:
                loop.record(loss, validate(model, data, config.monitor))
                if checkpoint is not None:
                    save_checkpoint(checkpoint, loop.state())
            progress(loop.epoch, config.epochs, loop.note(loss))
    except KeyboardInterrupt:
        if not loop.best_weights:
            raise
        interrupted = True
    loop.keep_best()
    return loop.report(interrupted=interrupted)


@dataclass
class _Loop:
    """Everything that changes while training."""

    model: Trainable[Any]
    config: TrainerConfig
    seed: int
    epoch: int = 0
    best_epoch: int = 0
    best_metric: float | None = None
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    history: list[EpochRecord] = field(default_factory=list[EpochRecord])
    step_seconds: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.parameters = dict(self.model.named_parameters())
        device = training_device(self.config)
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=self.config.learning_rate, fused=True)
        self.sampler = np.random.default_rng(self.seed)
        self.noise = torch.Generator(device).manual_seed(self.seed)
        self.loss: Loss = compiled(self.model.loss) if self.config.compile else self.model.loss

    def run_epoch(self) -> float:
        """One pass over the training data; returns the mean loss."""
        total = torch.zeros((), dtype=torch.float64)
        num_batches = self.model.num_batches
        for step, batch in enumerate(self.model.epoch(self.sampler)):
            started = time.perf_counter()
            rate = learning_rate_at(self.config, self.epoch + (step + 1) / num_batches)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            total += train_step(self.loss, self.optimizer, batch, self.noise, self.config)
            self.step_seconds.append(time.perf_counter() - started)
        self.epoch += 1
        hint = "Lower learning_rate, or clip gradients with max_grad_norm. Nothing of it is kept."
        return require_finite(float(total) / num_batches, self.epoch, hint=hint)

    def record(self, loss: float, metric: float | None) -> None:
        self.history.append(EpochRecord(self.epoch, loss, metric, time.monotonic() - self.started))
        if metric is None or self.best_metric is None or metric > self.best_metric:
            self.best_epoch, self.best_metric = self.epoch, metric
            self.best_weights = {name: weight.detach().clone() for name, weight in self.parameters.items()}

    def has_converged(self) -> bool:
        return sum(record.epoch > self.best_epoch for record in self.history) >= self.config.patience

    def keep_best(self) -> None:
        with torch.no_grad():
            for name, weight in self.parameters.items():
                weight.copy_(self.best_weights[name])

    def state(self) -> TrainingState:
        moments = {
            f"adam.{name}.{key}": value
            for name, weight in self.parameters.items()
            for key, value in self.optimizer.state[weight].items()
        }
        weights = {f"weight.{name}": weight for name, weight in self.parameters.items()}
        best = {f"best.{name}": weight for name, weight in self.best_weights.items()}
        return TrainingState(
            epoch=self.epoch,
            tensors=weights | best | moments | {"noise": self.noise.get_state()},
            sampler=self.sampler.bit_generator.state,
            progress={
                "best_epoch": self.best_epoch,
                "best_metric": self.best_metric,
                "seconds": time.monotonic() - self.started,
                "history": [asdict(record) for record in self.history],
            },
        )

    def restore(self, state: TrainingState) -> None:
        self.epoch = state.epoch
        with torch.no_grad():
            for name, weight in state.part("weight").items():
                self.parameters[name].copy_(weight)
        for name, parameter in self.parameters.items():
            moments = state.part(f"adam.{name}")
            if moments:
                self.optimizer.state[parameter] = {k: v.to(parameter.device) for k, v in moments.items()}
        self.best_weights = {n: w.to(self.parameters[n].device) for n, w in state.part("best").items()}
        self.noise.set_state(state.tensors["noise"])
        self.sampler.bit_generator.state = dict(state.sampler)
        self._restore_progress(state.progress)

    def _restore_progress(self, progress: Mapping[str, Any]) -> None:
        self.best_epoch, self.best_metric = progress["best_epoch"], progress["best_metric"]
        self.history = [EpochRecord(**record) for record in progress["history"]]
        self.started = time.monotonic() - progress["seconds"]

    def note(self, loss: float) -> str:
        best = "" if self.best_metric is None else f", best {self.config.monitor} {self.best_metric:.4f}"
        return f"loss {loss:.4f}{best}"

    def report(self, *, interrupted: bool) -> FitReport:
        return FitReport(
            epochs=self.epoch,
            best_epoch=self.best_epoch,
            best_metric=self.best_metric,
            monitor=self.config.monitor,
            seconds=time.monotonic() - self.started,
            step_milliseconds=1000 * float(np.median(self.step_seconds)) if self.step_seconds else 0.0,
            interrupted=interrupted,
            history=tuple(self.history),
        )


def train_step(
    loss_of: Loss,
    optimizer: torch.optim.Optimizer,
    batch: object,
    noise: torch.Generator,
    config: TrainerConfig,
) -> torch.Tensor:
    """One optimiser step from fresh gradients; returns the loss before the step, a () tensor."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    optimizer.zero_grad()  # what the backward pass makes becomes the gradient, and is not added to zeros
    with torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bfloat16"):
        loss = loss_of(batch, noise)
    loss.backward()
    for weight in weights:
        if weight.grad is None and optimizer.state.get(weight):
            weight.grad = torch.zeros_like(weight)  # not read by this batch: its moments move it all the same
    if config.max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
    optimizer.step()
    return loss.detach().cpu()


def validate(model: Trainable[Any], data: TrainingData, monitor: str) -> float | None:
    """The monitored metric on the validation part, training pairs masked; None if the part is empty."""
    if not len(data.valid):
        return None
    vectors, item_vectors = model.score_vectors()
    user_vectors = average_cold_users(vectors, data)

    def score(users: IntArray) -> FloatArray:
        return score_users(user_vectors, item_vectors, users)

    cutoff = int(monitor.split("@")[1])
    return evaluate_ranking(score, data.valid, cutoffs=(cutoff,)).means()[monitor]


def average_cold_users(user_vectors: torch.Tensor, data: TrainingData) -> torch.Tensor:
    """(U, d) in which a user without training events is the mean of all others: our reconstruction."""
    cold = data.seen.degrees == 0
    if not cold.any() or cold.all():
        return user_vectors
    rows = torch.from_numpy(cold).to(user_vectors.device)
    return torch.where(rows.unsqueeze(1), user_vectors[~rows].mean(dim=0), user_vectors)


def score_users(user_vectors: torch.Tensor, item_vectors: torch.Tensor, users: IntArray) -> FloatArray:
    """(n, I) inner products of the users' vectors with all items'."""
    rows = torch.from_numpy(users).to(user_vectors.device)
    return (user_vectors.index_select(0, rows) @ item_vectors.T).cpu().numpy()

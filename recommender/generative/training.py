"""The training loop of the generative form: AdamW, validation by decoding, best weights kept, checkpoints.

Batches are drawn by a generator whose state is kept, dropout is a function of (seed, step): on a CPU a
training that was stopped ends with the weights, to the bit, that it would have had. Test events are never
here: a validation decodes training histories and looks for validation items.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from featurestore.errors import InputError
from featurestore.progress import Progress
from recommender.base import EpochRecord, FitReport
from recommender.checkpoint import CheckpointFile, TrainingState, load_checkpoint, save_checkpoint
from recommender.generative.network import GenerativeNetwork
from recommender.generative.writer import drawn_from
from recommender.training.divergence import require_finite

MONITOR: Final = "ndcg@10"
_MAX_GRAD_NORM: Final = 1.0
Validate: TypeAlias = Callable[[], float | None]
"""The monitored metric of the network as it is; None without validation items."""


def train_generative(
    network: GenerativeNetwork,
    validate: Validate,
    *,
    seed: int,
    progress: Progress,
    checkpoint: CheckpointFile | None = None,
) -> FitReport:
    """Train until validation stops getting better; leave the best weights in ``network``.

    Ctrl-C ends training and keeps the best weights, if there are any; before the first validation it is
    passed on.

    Args:
        network: On the device that its settings name.
        validate: Called every ``eval_every`` epochs.
        seed: Of batches and dropout.
        progress: Told about epochs.
        checkpoint: Where state is kept at every validation, and gone on from. Who has saved the model
            discards it.

    Raises:
        InputError: If no user has two training events.
        StoreError: If the checkpoint is damaged.
        UsageError: If it belongs to another run.
        DivergedError: If the loss is no finite number any more.
    """
    if not network.sampler.num_batches:
        raise InputError(
            "there is nothing to learn from: no user has two training events.",
            hint="Ingest more interactions, or look at the split section of featurestore.toml.",
        )
    config, loop = network.config, _Loop(network, seed)
    if checkpoint is not None and (state := load_checkpoint(checkpoint)) is not None:
        loop.restore(state)
    interrupted = False
    try:
        while loop.epoch < config.epochs and not loop.has_converged():
            loss = loop.run_epoch()
            if loop.epoch % config.eval_every == 0 or loop.epoch == config.epochs:
                loop.record(loss, validate())
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

    network: GenerativeNetwork
    seed: int
    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_metric: float | None = None
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    history: list[EpochRecord] = field(default_factory=list[EpochRecord])
    step_seconds: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        config = self.network.config
        self.started = time.monotonic()
        self.weights = dict(self.network.named_parameters())
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.sampler = np.random.default_rng(self.seed)

    def run_epoch(self) -> float:
        """One pass over the users; returns the mean loss."""
        self.network.train()
        losses = [self._run_step(examples) for examples in self.network.sampler.epoch(self.sampler)]
        self.epoch += 1
        hint = "Set a smaller learning_rate, init_std or word_scale."
        return require_finite(float(torch.stack(losses).double().mean()), self.epoch, hint=hint)

    def _run_step(self, examples: Any) -> torch.Tensor:  # noqa: ANN401 - what the sampler yields
        started, config = time.perf_counter(), self.network.config
        self.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, self.step / max(config.warmup_steps, 1))
        self.optimizer.zero_grad(set_to_none=False)
        with drawn_from(self.seed, self.step):
            loss = self.network.loss(examples)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), _MAX_GRAD_NORM)
        self.optimizer.step()
        self.step_seconds.append(time.perf_counter() - started)
        return loss.detach().cpu()

    def record(self, loss: float, metric: float | None) -> None:
        self.history.append(EpochRecord(self.epoch, loss, metric, time.monotonic() - self.started))
        if metric is None or self.best_metric is None or metric > self.best_metric:
            self.best_epoch, self.best_metric = self.epoch, metric
            self.best_weights = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def has_converged(self) -> bool:
        later = sum(record.epoch > self.best_epoch for record in self.history)
        return later >= self.network.config.patience

    def keep_best(self) -> None:
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(self.best_weights[name])

    def state(self) -> TrainingState:
        moments = {
            f"adam.{name}.{key}": value
            for name, weight in self.weights.items()
            for key, value in self.optimizer.state[weight].items()
        }
        weights = {f"weight.{name}": weight for name, weight in self.weights.items()}
        best = {f"best.{name}": weight for name, weight in self.best_weights.items()}
        return TrainingState(
            epoch=self.epoch,
            tensors=weights | best | moments,
            sampler=self.sampler.bit_generator.state,
            progress={
                "step": self.step,
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
                self.weights[name].copy_(weight)
        for name, weight in self.weights.items():
            if moments := state.part(f"adam.{name}"):
                self.optimizer.state[weight] = {k: v.to(weight.device) for k, v in moments.items()}
        self.best_weights = {n: w.to(self.weights[n].device) for n, w in state.part("best").items()}
        self.sampler.bit_generator.state = dict(state.sampler)
        self._restore_progress(state.progress)

    def _restore_progress(self, progress: Mapping[str, Any]) -> None:
        self.step = progress["step"]
        self.best_epoch, self.best_metric = progress["best_epoch"], progress["best_metric"]
        self.history = [EpochRecord(**record) for record in progress["history"]]
        self.started = time.monotonic() - progress["seconds"]

    def note(self, loss: float) -> str:
        best = "" if self.best_metric is None else f", best {MONITOR} {self.best_metric:.4f}"
        return f"loss {loss:.4f}{best}"

    def report(self, *, interrupted: bool) -> FitReport:
        return FitReport(
            epochs=self.epoch,
            best_epoch=self.best_epoch,
            best_metric=self.best_metric,
            monitor=MONITOR,
            seconds=time.monotonic() - self.started,
            step_milliseconds=1000 * float(np.median(self.step_seconds)) if self.step_seconds else 0.0,
            interrupted=interrupted,
            history=tuple(self.history),
        )

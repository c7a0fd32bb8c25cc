"""The one tuning loop: seeded batches, accumulated gradients, AdamW, checkpoints.

The loop knows neither texts nor tasks: a model whose adapter learns, and an `Objective` that turns examples
into a loss. It may be stopped at any moment; with a checkpoint the next call goes on from the last one.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from featurestore.errors import InputError
from featurestore.progress import Progress, no_progress
from llm_jobs.tuning.checkpoint import TuningCheckpoint
from llm_jobs.tuning.config import (
    Examples,
    TuningConfig,
    examples_of_step,
    noise_of,
    num_steps,
    rate_share,
    tuning_device,
)
from llm_jobs.tuning.lora import adapter_dropout
from llm_jobs.tuning.objective import Objective
from recommender.checkpoint import TrainingState

ModelT = TypeVar("ModelT", bound=torch.nn.Module)


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What tuning did.

    Attributes:
        steps: Optimiser steps of the job.
        resumed_at: Steps that an earlier run of it had done.
        losses: Training loss before each step.
        seconds: Time of this run.
    """

    steps: int
    resumed_at: int
    losses: tuple[float, ...]
    seconds: float


def tune(
    model: ModelT,
    objective: Objective[ModelT],
    config: TuningConfig,
    *,
    seed: int,
    checkpoint: TuningCheckpoint | None = None,
    progress: Progress = no_progress,
) -> TuningReport:
    """Tune everything of model and objective that learns; leave the last weights in them.

    Args:
        model: Its adapter's parameters learn, its own are frozen. On the device that the config names.
        objective: On the same device.
        config: Settings of the loop.
        seed: Of batches and dropout.
        checkpoint: Where state is kept. It stays when tuning has ended: who has stored the result discards
            it.
        progress: Told about steps.

    Raises:
        InputError: If there are no examples.
        StoreError: If the checkpoint is damaged.
        UsageError: If it belongs to another job.
        LockHeldError: If another job has taken this one's place.
        StorageFullError: If there is no room for a checkpoint.
    """
    if not objective.num_examples:
        raise InputError("there is nothing to tune on: no examples.")
    started = time.monotonic()
    loop = _Loop(model, objective, config, seed)
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        loop.restore(state)
    resumed_at, total = loop.step, num_steps(config, objective.num_examples)
    with adapter_dropout(model):
        while loop.step < total:
            loop.run_step(total)
            is_due = loop.step % config.checkpoint_steps == 0 or loop.step == total
            if checkpoint is not None and is_due:
                checkpoint.save(loop.step, loop.tensors(), loop.losses)
            progress(loop.step, total, f"loss {loop.losses[-1]:.4f}")
    return TuningReport(loop.step, resumed_at, tuple(loop.losses), time.monotonic() - started)


class _Loop:
    """Everything that changes while tuning."""

    def __init__(
        self, model: torch.nn.Module, objective: Objective[Any], config: TuningConfig, seed: int
    ) -> None:
        self.model, self.objective, self.config, self.seed = model, objective, config, seed
        self.device = tuning_device(config)
        self.step = 0
        self.losses: list[float] = []
        adapter_weights = {f"model.{n}": w for n, w in model.named_parameters() if w.requires_grad}
        head_weights = {f"head.{n}": w for n, w in objective.named_parameters() if w.requires_grad}
        self.weights = adapter_weights | head_weights
        self.optimizer = torch.optim.AdamW(
            [
                {"params": adapter_weights.values(), "lr": config.learning_rate},
                {"params": head_weights.values(), "lr": config.head_learning_rate},
            ],
            weight_decay=config.weight_decay,
        )
        self.full_rates = [group["lr"] for group in self.optimizer.param_groups]

    def run_step(self, total: int) -> None:
        """One optimiser step; keeps the loss before it."""
        batches = examples_of_step(self.config, self.objective.num_examples, self.step, seed=self.seed)
        share = rate_share(self.config, self.step, total)
        for group, rate in zip(self.optimizer.param_groups, self.full_rates, strict=True):
            group["lr"] = rate * share
        self.optimizer.zero_grad()
        loss = self._accumulate(batches)
        torch.nn.utils.clip_grad_norm_(self.weights.values(), self.config.max_grad_norm)
        self.optimizer.step()
        self.objective.after_step()
        self.losses.append(loss)
        self.step += 1

    def _accumulate(self, batches: list[Examples]) -> float:
        """Gradients of the mean loss of all examples of a step; returns that loss."""
        num_examples = sum(len(batch) for batch in batches)
        total = 0.0
        for number, batch in enumerate(batches):
            with (
                noise_of(self.seed, self.step, number, self.device),
                torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"),
            ):
                loss = self.objective.loss(self.model, batch) * (len(batch) / num_examples)
            loss.backward()
            total += float(loss.detach())
        return total

    def tensors(self) -> dict[str, torch.Tensor]:
        """All state but the step: ``weight.NAME``, ``adamw.NAME.KEY``, ``state.NAME``."""
        moments = {
            f"adamw.{name}.{key}": value
            for name, weight in self.weights.items()
            for key, value in self.optimizer.state[weight].items()
        }
        weights = {f"weight.{name}": weight for name, weight in self.weights.items()}
        return weights | moments | {f"state.{name}": tensor for name, tensor in self._states()}

    def restore(self, state: TrainingState) -> None:
        """Go on from there."""
        self.step, self.losses = state.epoch, list(state.progress["losses"])
        states = dict(self._states())
        with torch.no_grad():
            for name, weight in state.part("weight").items():
                self.weights[name].copy_(weight)
            for name, tensor in state.part("state").items():
                states[name].copy_(tensor)
        for name, weight in self.weights.items():
            if moments := state.part(f"adamw.{name}"):
                self.optimizer.state[weight] = {
                    key: value if key == "step" else value.to(weight.device) for key, value in moments.items()
                }

    def _states(self) -> Iterator[tuple[str, torch.Tensor]]:
        """What changes with every step and does not learn."""
        yield from ((name, w) for name, w in self.objective.named_parameters() if not w.requires_grad)
        yield from self.objective.named_buffers()

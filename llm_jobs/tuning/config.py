"""Settings of a tuning job, and what follows from them alone: steps, step size, examples, noise."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from featurestore.errors import SetupError
from featurestore.spec import Frozen

ALL_LINEAR = "all-linear"

Examples = npt.NDArray[np.int64]
"""Numbers of examples, shape (n,), int64."""


class TuningConfig(Frozen):
    """Settings of the adapter and of the loop. Defaults are our reconstruction: no system states its own."""

    lora_rank: int = Field(default=16, ge=1, description="Rank r of the adapter: W + (alpha / r) B A.")
    lora_alpha: int = Field(default=32, ge=1, description="Numerator of the adapter's scale.")
    lora_dropout: float = Field(
        default=0.05, ge=0, lt=1, description="Share of an adapter's inputs that a step leaves out."
    )
    target_modules: str = Field(
        default=ALL_LINEAR,
        min_length=1,
        description="Linear maps of every block that are adapted: all-linear (attention and MLP), or names "
        "such as q_proj,v_proj.",
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="Step size of AdamW for the adapter.")
    head_learning_rate: float = Field(
        default=1e-3,
        gt=0,
        description="The same for what learns beside it from nothing, such as a projection.",
    )
    weight_decay: float = Field(default=0.01, ge=0, description="Decoupled weight decay of AdamW.")
    warmup_steps: int = Field(default=0, ge=0, description="Steps over which the step size rises from zero.")
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine", description="How the step size falls to zero after the warm-up, if it does."
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="Gradients are scaled down to this length together."
    )
    epochs: int = Field(default=2, ge=1, description="Passes over the examples.")
    max_steps: int | None = Field(
        default=None, ge=1, description="Optimiser steps at most; none runs all epochs."
    )
    batch_size: int = Field(default=16, ge=1, description="Examples that go through the model together.")
    accumulation: int = Field(default=1, ge=1, description="Batches whose gradients make one step.")
    max_tokens: int | None = Field(
        default=None, ge=8, description="Tokens read of each text; none takes the encoder's own limit."
    )
    checkpoint_steps: int = Field(default=20, ge=1, description="Steps between two checkpoints.")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where to tune.")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Of the base model and its products; what learns stays float32. bfloat16 needs "
        "device=cuda.",
    )

    @model_validator(mode="after")
    def _mixed_precision_needs_cuda(self) -> "TuningConfig":
        if self.precision != "float32" and self.device != "cuda":
            raise ValueError("precision=bfloat16 needs device=cuda")
        return self

    @property
    def result_settings(self) -> dict[str, Any]:
        """What can change the outcome: all but how often state is kept."""
        return self.model_dump(mode="json", exclude={"checkpoint_steps"})


def tuning_device(config: TuningConfig) -> torch.device:
    """Where to tune.

    Raises:
        SetupError: If CUDA is asked for and there is none.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise SetupError(
            "device=cuda, but torch finds no CUDA device.",
            hint="Leave device out to tune on the CPU; featurestore doctor shows what torch finds.",
        )
    return torch.device(config.device)


def num_steps(config: TuningConfig, num_examples: int) -> int:
    """Optimiser steps of the whole job; the last step of an epoch may see fewer examples."""
    every = config.epochs * _steps_per_epoch(config, num_examples)
    return every if config.max_steps is None else min(every, config.max_steps)


def examples_of_step(config: TuningConfig, num_examples: int, step: int, *, seed: int) -> list[Examples]:
    """The batches of a step, from 0: every example once per epoch, in an order that the seed gives.

    A function of its arguments only, so that a resumed job needs no generator's state.
    """
    epoch, place = divmod(step, _steps_per_epoch(config, num_examples))
    order = np.random.default_rng([seed, epoch]).permutation(num_examples)
    size = config.batch_size * config.accumulation
    mine = order[place * size : (place + 1) * size]
    return [mine[start : start + config.batch_size] for start in range(0, len(mine), config.batch_size)]


@contextmanager
def noise_of(seed: int, step: int, batch: int, device: torch.device) -> Generator[None]:
    """Dropout drawn from (seed, step, batch) alone; the process's own generators stay where they were."""
    drawn = int(np.random.SeedSequence([seed, step, batch]).generate_state(1)[0])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(drawn)
        yield


def rate_share(config: TuningConfig, step: int, total: int) -> float:
    """Share of the full step size at a step, from 0: a linear rise, then the schedule's fall to zero."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(total - config.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * done))


def _steps_per_epoch(config: TuningConfig, num_examples: int) -> int:
    return math.ceil(num_examples / (config.batch_size * config.accumulation))

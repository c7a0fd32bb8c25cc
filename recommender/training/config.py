"""Settings of the training loop, and what follows from them alone: the step size, the device."""

import math
from typing import Literal

import torch
from pydantic import Field, model_validator

from featurestore.errors import SetupError
from featurestore.spec import Frozen


class TrainerConfig(Frozen):
    """Settings of the loop; models add their own."""

    epochs: int = Field(default=200, ge=1, description="Passes over the training pairs at most.")
    batch_size: int = Field(default=2048, ge=1, description="Training pairs per optimiser step.")
    learning_rate: float = Field(default=0.005, gt=0, description="Step size of Adam.")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        default="constant", description="How the step size falls to zero over all epochs, if it does."
    )
    warmup_epochs: float = Field(
        default=0.0, ge=0, description="Epochs over which the step size rises from zero."
    )
    max_grad_norm: float | None = Field(
        default=None, gt=0, description="Gradients are scaled down to this length; none leaves them."
    )
    eval_every: int = Field(default=5, ge=1, description="Epochs between two validations.")
    patience: int = Field(
        default=5, ge=1, description="Validations without a better value after which training stops."
    )
    monitor: Literal["ndcg@5", "ndcg@10", "ndcg@20", "hr@10", "recall@10", "recall@20"] = Field(
        default="ndcg@10", description="Validation metric that chooses the epoch to keep."
    )
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where to train.")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Of products in the forward pass; bfloat16 needs device=cuda."
    )
    compile: bool = Field(
        default=False, description="Compile the loss (torch.compile): for long training of contrasts."
    )

    @model_validator(mode="after")
    def _mixed_precision_needs_cuda(self) -> "TrainerConfig":
        if self.precision != "float32" and self.device != "cuda":
            raise ValueError("precision=bfloat16 needs device=cuda")
        return self

    @model_validator(mode="after")
    def _the_warm_up_ends(self) -> "TrainerConfig":
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs:g} is above epochs={self.epochs}, and the learning rate "
                "would never be reached; take fewer of them, or more epochs"
            )
        return self


def training_device(config: TrainerConfig) -> torch.device:
    """Where to train.

    Raises:
        SetupError: If CUDA is asked for and there is none.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise SetupError(
            "device=cuda, but torch finds no CUDA device.",
            hint="Leave device out to train on the CPU; featurestore doctor shows what torch finds.",
        )
    return torch.device(config.device)


def learning_rate_at(config: TrainerConfig, epochs: float) -> float:
    """The step size after some epochs, fractions included: a linear warm-up, then the schedule's fall.

    Args:
        config: Names schedule and warm-up.
        epochs: From 0 to ``config.epochs``; at the last step of all a falling schedule reaches zero.
    """
    if epochs < config.warmup_epochs:
        return config.learning_rate * epochs / config.warmup_epochs
    left = 1 - (epochs - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1e-9)
    match config.schedule:
        case "constant":
            return config.learning_rate
        case "linear":
            return config.learning_rate * max(left, 0.0)
        case "cosine":
            return config.learning_rate * 0.5 * (1 - math.cos(math.pi * max(left, 0.0)))

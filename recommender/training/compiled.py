"""A model's loss through `torch.compile`, where a person asks for it."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from featurestore.errors import FeatureStoreError, UsageError

Loss: TypeAlias = Callable[[Any, torch.Generator], torch.Tensor]
"""(batch, noise) → () float32 with gradients, as `recommender.training.trainer.Trainable.loss`."""


def compiled(loss: Loss) -> Loss:
    """The same loss, compiled at its first batches: seconds to a minute, and losses equal but for rounding.

    Raises:
        UsageError: From the returned function, if torch cannot compile what it meets.
    """
    fast = torch.compile(loss)

    def run(batch: Any, noise: torch.Generator) -> torch.Tensor:  # noqa: ANN401 - each model has its own batches
        try:
            return fast(batch, noise)
        except FeatureStoreError:
            raise
        except Exception as error:  # compilers raise whatever they meet
            said = (str(error).splitlines() or [""])[0]
            raise UsageError(
                f"torch.compile cannot run this model's loss: {type(error).__name__}: {said}",
                hint="Leave compile out.",
            ) from error

    return run

"""Training that leaves the numbers: refused, so that no model of it is kept."""

import math

from featurestore.errors import UsageError


class DivergedError(UsageError):
    """The loss is no finite number any more: a setting is wrong, most often the step size."""


def require_finite(loss: float, epoch: int, *, hint: str) -> float:
    """The mean loss of an epoch, if it is a number.

    Raises:
        DivergedError: If it is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise DivergedError(f"training diverged: the loss of epoch {epoch} is {loss}.", hint=hint)
    return loss

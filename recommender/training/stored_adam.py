"""Adam for weights that the training loop does not train, its state in parameters that a checkpoint holds.

Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1:

    m ← b1 m + (1 - b1) g      v ← b2 v + (1 - b2) g²
    θ ← θ - lr · m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + ε)

The loop of `recommender.training.trainer` has one Adam with one learning rate. A policy that is trained
beside a model has another, and takes its steps itself: its weights, and these moments, are parameters without
gradients, so that the loop leaves them alone and keeps them.
"""

from collections.abc import Sequence
from typing import Final

import torch

_FIRST_DECAY: Final = 0.9
_SECOND_DECAY: Final = 0.999
_EPSILON: Final = 1e-8


class StoredAdam(torch.nn.Module):
    """Moments of some weights, and steps.

    Args:
        weights: Theirs are the shapes, and the order of gradients.
        learning_rate: lr > 0.
    """

    def __init__(self, weights: Sequence[torch.Tensor], learning_rate: float) -> None:
        super().__init__()
        self._learning_rate = learning_rate
        self.means = torch.nn.ParameterList(_state(torch.zeros_like(weight)) for weight in weights)  # m
        self.squares = torch.nn.ParameterList(_state(torch.zeros_like(weight)) for weight in weights)  # v
        self.steps = _state(torch.zeros(1))  # t

    @torch.no_grad()
    def step(self, weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        """One step, in place.

        Args:
            weights: Those that the moments are of.
            gradients: One of each.
        """
        self.steps += 1
        steps = float(self.steps)
        first, second = 1 - _FIRST_DECAY**steps, 1 - _SECOND_DECAY**steps
        for weight, gradient, mean, square in zip(weights, gradients, self.means, self.squares, strict=True):
            mean.lerp_(gradient, 1 - _FIRST_DECAY)
            square.mul_(_SECOND_DECAY).addcmul_(gradient, gradient, value=1 - _SECOND_DECAY)
            length = (square / second).sqrt_().add_(_EPSILON)
            weight.addcdiv_(mean, length, value=-self._learning_rate / first)


def _state(values: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(values.detach(), requires_grad=False)

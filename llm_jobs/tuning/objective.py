"""What is learned: the boundary between the tuning loop and its tasks."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

import torch

from llm_jobs.tuning.config import Examples

ModelT_contra = TypeVar("ModelT_contra", bound=torch.nn.Module, contravariant=True)


class Objective(Protocol[ModelT_contra]):
    """A `torch.nn.Module` with these methods. Its parameters that take gradients learn beside the adapter.

    An example is a number from 0 to ``num_examples`` - 1; what it stands for (a text and a vector, a prompt
    and its answer) is the objective's own affair. State that changes with every step and does not learn, such
    as a queue of negatives, stands in parameters without gradients or in buffers: a checkpoint keeps both.
    """

    @property
    def num_examples(self) -> int:
        """Examples to learn from."""
        ...

    def loss(self, model: ModelT_contra, examples: Examples) -> torch.Tensor:
        """Mean loss of some examples: a scalar () that carries gradients.

        Args:
            model: The adapted model, whose forward pass is the objective's to call.
            examples: (b,) distinct numbers.
        """
        ...

    def after_step(self) -> None:
        """Called when a step's gradients were applied: the moment to move averages and queues."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Weights that learn, such as a projection, and state that does not."""
        ...

    def named_buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """More state that does not learn."""
        ...

"""First weights of small networks: uniform, from one generator."""

from typing import TypeVar

import torch

ModuleT = TypeVar("ModuleT", bound=torch.nn.Module)


def uniform(module: ModuleT, bound: float, generator: torch.Generator) -> ModuleT:
    """Put every weight of a module, biases too, anywhere within ±bound.

    Args:
        module: Made with ``device="meta"``, so that no other generator was asked; it comes to the CPU.
        bound: Such as 1/√d, which the code of GRU4Rec, SR-GNN and their kin takes.
        generator: Of the draws.
    """
    module = module.to_empty(device="cpu")
    with torch.no_grad():
        for weight in module.parameters():
            weight.uniform_(-bound, bound, generator=generator)
    return module

"""SimGCL's perturbation: noise of length ε that stays in the orthant of what it is added to.

Yu et al., "Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for Recommendation", SIGIR
2022, eq. 7-8:

    e' = e + Δ,   Δ = ε · sign(e) ⊙ u / ‖u‖,   u uniform in (0, 1)^d

Ours: u has 256 steps, (byte + 1/2) / 256. Only its direction is used, and drawing float32 numbers one by
one would cost more than propagating does.
"""

import torch

from recommender.training.random_words import random_words


def add_sign_noise(layer: torch.Tensor, *, epsilon: float, noise: torch.Generator) -> torch.Tensor:
    """E' of every row, in new memory.

    Args:
        layer: (N, d) float32 rows e.
        epsilon: ε ≥ 0.
        noise: Source of u, on the layer's device.
    """
    words = random_words(layer.shape, torch.uint8, layer.device, noise)
    uniform = words.to(layer.dtype).add_(0.5)  # (N, d) 256 u
    scale = epsilon / torch.linalg.vector_norm(uniform, dim=1, keepdim=True)  # (N, 1)
    return uniform.mul_(scale).mul_(layer.sign()).add_(layer)

"""SimGCL's perturbation: noise of length ε that stays in the orthant of what it is added to.

Yu et al., "Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for Recommendation", SIGIR
2022, eq. 7-8:

    e' = e + Δ,   Δ = ε · sign(e) ⊙ u / ‖u‖,   u uniform in (0, 1)^d

Ours: u has 256 steps, (byte + 1/2) / 256. Only its direction is used, and a word of random bits serves eight
numbers, where drawing them one by one costs more than propagating does.
"""

import torch

_LOWEST_WORD = -(2**63)


def add_sign_noise(layer: torch.Tensor, *, epsilon: float, noise: torch.Generator) -> torch.Tensor:
    """E' of every row, in new memory.

    Args:
        layer: (N, d) float32 rows e.
        epsilon: ε ≥ 0.
        noise: Source of u, on the layer's device.
    """
    uniform = _random_bytes(layer.shape, layer.device, noise).to(layer.dtype).add_(0.5)  # (N, d) 256 u
    scale = epsilon / torch.linalg.vector_norm(uniform, dim=1, keepdim=True)  # (N, 1)
    return uniform.mul_(scale).mul_(layer.sign()).add_(layer)


def _random_bytes(shape: torch.Size, device: torch.device, noise: torch.Generator) -> torch.Tensor:
    words = torch.empty(-(-shape.numel() // 8), dtype=torch.int64, device=device)
    words.random_(_LOWEST_WORD, None, generator=noise)
    return words.view(torch.uint8)[: shape.numel()].view(shape)

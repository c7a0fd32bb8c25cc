"""Negatives of models that rank what comes next: any item but the one that came."""

import torch


def other_items(
    targets: torch.Tensor, num_items: int, num_negatives: int, noise: torch.Generator
) -> torch.Tensor:
    """Items drawn uniformly, each but the target alike; what the history holds is not left out.

    Args:
        targets: (T,) int64 item rows.
        num_items: I ≥ 2.
        num_negatives: M.
        noise: Source of the draws, on the targets' device.

    Returns:
        (T, M) int64.
    """
    shape = (len(targets), num_negatives)
    steps = torch.randint(1, num_items, shape, generator=noise, device=targets.device)
    return (targets.unsqueeze(1) + steps) % num_items

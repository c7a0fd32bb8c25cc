"""W_proj on standardised states: z = W_proj ((z̃ - m) / s), the quotient by column.

RecMind (arXiv 2509.06286), eq. 4, projects z̃ itself. Our reconstruction: m and s are mean and standard
deviation of each column over texts, before tuning. A decoder's states have a few columns that are large in
all texts: without this, every two are nearly parallel, and W_proj spends the tuning on looking elsewhere. As
m and s are fixed, the map stays linear: W' z̃ + b, which is what is stored. Letters: h hidden size,
d dimensions of z.
"""

import torch
from torch.nn.functional import linear

from featurestore.errors import InputError


class StandardisedProjection(torch.nn.Module):
    """See the module's head.

    Args:
        states: (n, h) float32 z̃ of some texts, n ≥ 2.
        width: d.
        seed: Of the first W_proj.

    Raises:
        InputError: If all texts have the same states.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, states: torch.Tensor, width: int, *, seed: int) -> None:
        super().__init__()
        deviation = states.std(dim=0)
        if not deviation.any():
            raise InputError(
                f"all {len(states)} texts to learn from have the same vector.",
                hint="Are they the same text, or nothing that the tokenizer knows?",
            )
        self.register_buffer("mean", states.mean(dim=0))
        self.register_buffer("scale", torch.where(deviation > 0, 1 / deviation, 0.0))  # (h,)
        self.weight = torch.nn.Parameter(torch.empty(width, states.shape[1]))  # W_proj
        generator = torch.Generator().manual_seed(seed)
        torch.nn.init.xavier_uniform_(self.weight, generator=generator)
        self.to(states.device)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(b, d) z of (b, h) z̃."""
        return linear((states - self.mean) * self.scale, self.weight)

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """W' (d, h) and b (d,), float32 on the CPU, without gradients."""
        weight = (self.weight * self.scale).detach().float().cpu()
        return weight, -(weight @ self.mean.float().cpu())

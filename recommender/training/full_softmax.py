"""Cross-entropy over a whole catalogue, without a table of all positions times all items.

Letters: T positions, I items, d embedding_dim. Logits exist for a few dozen positions at a time. Gradients
are made while these are in the processor's cache, so that they are computed once and never kept:

    z = E hᵀ,  p = softmax of z's columns      loss = Σ_t -log p[y_t, t] / T
    ∂loss/∂h = (pᵀ E - E[y]) / T               ∂loss/∂E = (p h - Σ_t 1[y_t] h_t) / T
"""

import math
from typing import Any, Final

import torch

_LOGITS_AT_A_TIME: Final = {"cpu": 800_000, "cuda": 32_000_000}  # 3 MB and 128 MB


def catalogue_cross_entropy(states: torch.Tensor, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean of -log softmax of the targets among all items: `full_softmax_loss` of ``states @ items.T``.

    Cost: three products of T · I · d, and 3 MB of logits on a CPU (more if I is above 800,000).

    Args:
        states: (T, d), T ≥ 1.
        items: (I, d).
        targets: (T,) int64 item rows.

    Returns:
        A scalar, which can be derived once.
    """
    loss: torch.Tensor = _CatalogueCrossEntropy.apply(states.float(), items.float(), targets)
    return loss


class _CatalogueCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - torch's
        with torch.autocast(states.device.type, enabled=False):
            loss, of_states, of_items = _loss_and_gradients(states, items, targets)
        ctx.save_for_backward(of_states, of_items)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:  # noqa: ANN401
        of_states, of_items = ctx.saved_tensors
        return of_states * gradients[0], of_items * gradients[0], None


def _loss_and_gradients(
    states: torch.Tensor, items: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    num_positions, num_items = len(states), len(items)
    size = max(1, _LOGITS_AT_A_TIME[states.device.type] // num_items)
    wanted = items.index_select(0, targets)  # (T, d) E[y]
    of_states = torch.empty_like(states)
    of_items = torch.zeros_like(items).index_add_(0, targets, states, alpha=-1.0)
    logarithms = torch.empty_like(states[:, 0])  # (T,) log2 of each column's sum
    memory = states.new_empty(num_items * min(size, num_positions))
    for start in range(0, num_positions, size):
        part = states[start : start + size]  # (c, d)
        logits = memory[: num_items * len(part)].view(num_items, len(part))  # (I, c), to the base 2
        torch.mm(items, (part / math.log(2)).T, out=logits)
        largest = logits.amax(dim=0)  # (c,)
        powers = logits.sub_(largest).exp2_()  # on CPUs, half the time of exp
        sums = powers.sum(dim=0)
        logarithms[start : start + size] = largest + sums.log2()
        torch.mm(powers.T, items, out=of_states[start : start + size]).div_(sums.unsqueeze(1))
        of_items.addmm_(powers, part / sums.unsqueeze(1))
    of_states.sub_(wanted)
    loss = (logarithms * math.log(2) - (states * wanted).sum(dim=1)).mean()
    return loss, of_states.div_(num_positions), of_items.div_(num_positions)

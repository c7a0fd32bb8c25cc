"""Training losses, one formula each.

Letters: b pairs of a batch, M negatives per pair, I items, d embedding_dim, τ temperature.
"""

import math
from typing import Any, Final

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize, relu, softplus

_COSINES_AT_A_TIME: Final = 800_000  # 3 MB
_FOUR: Final = 4 / math.log(2)  # e^(4 x) is 2^(_FOUR x), which CPUs compute in half of the time


def bpr_loss(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Mean of -log sigmoid(s⁺ - s⁻): Rendle et al., "BPR: Bayesian Personalized Ranking", UAI 2009.

    Args:
        positive: (b,) scores of items the users had.
        negative: (b,) scores of items they had not.

    Returns:
        A scalar.
    """
    return softplus(negative - positive).mean()


def bce_loss(positive: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of positives as 1 and negatives as 0, each pair's negatives averaged.

    He et al., "Neural Collaborative Filtering", WWW 2017, eq. 7.

    Args:
        positive: (b,) scores.
        negatives: (b, M) scores.

    Returns:
        A scalar.
    """
    ones = binary_cross_entropy_with_logits(positive, torch.ones_like(positive))
    return ones + binary_cross_entropy_with_logits(negatives, torch.zeros_like(negatives))


def sampled_softmax_loss(positive: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """Mean of -log softmax of the positive among itself and its negatives.

    With uniform negatives it estimates the full softmax up to a constant (Bengio and Senécal, 2008); those by
    popularity or of the batch lower popular items' scores by the log of their chance besides.

    Args:
        positive: (b,) scores.
        negatives: (b, M) scores.

    Returns:
        A scalar.
    """
    logits = torch.cat([positive.unsqueeze(1), negatives], dim=1)  # (b, 1 + M)
    return cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


def full_softmax_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean of -log softmax over all items.

    Args:
        logits: (b, I) scores.
        targets: (b,) int64 item rows.

    Returns:
        A scalar.
    """
    return cross_entropy(logits, targets)


def cosine_contrastive_loss(
    positive: torch.Tensor, negatives: torch.Tensor, *, margin: float, negative_weight: float
) -> torch.Tensor:
    """Mean of (1 - s⁺) + w · mean over negatives of max(0, s⁻ - m): SimpleX, eq. 1.

    Mao et al., "SimpleX: A Simple and Strong Baseline for Collaborative Filtering", CIKM 2021.

    Args:
        positive: (b,) cosines.
        negatives: (b, M) cosines.
        margin: m in [-1, 1]; negatives below it are easy enough.
        negative_weight: w ≥ 0.

    Returns:
        A scalar.
    """
    return (1 - positive).mean() + negative_weight * relu(negatives - margin).mean()


def alignment_loss(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of normalised pairs: DirectAU, eq. 4 (Wang et al., KDD 2022).

    Args:
        users: (b, d).
        items: (b, d) an item that each user had.

    Returns:
        A scalar.
    """
    return (normalize(users, dim=1) - normalize(items, dim=1)).square().sum(dim=1).mean()


def uniformity_loss(vectors: torch.Tensor) -> torch.Tensor:
    """Log of the mean of exp(-2 ‖x - y‖²) over pairs of normalised rows: DirectAU, eq. 5.

    Args:
        vectors: (b, d); a single row has no pair and gives 0.

    Returns:
        A scalar, which can be derived once. Cost: two products of b · b · d.
    """
    if len(vectors) < 2:
        return vectors.sum() * 0.0
    loss: torch.Tensor = _Uniformity.apply(normalize(vectors, dim=1))
    return loss


class _Uniformity(torch.autograd.Function):
    """On the sphere -2 ‖x - y‖² = 4 x·y - 4. A few cosines exist at a time, and become gradients."""

    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - torch's
        with torch.autocast(vectors.device.type, enabled=False):
            total, pulls = _closeness(vectors.float())
        ctx.save_for_backward(pulls.mul_(8 / total))
        return (total / (len(vectors) * (len(vectors) - 1))).log()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        (of_vectors,) = ctx.saved_tensors
        return of_vectors * gradients[0]


def _closeness(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ p(x, y) over ordered pairs, p = exp(-2 ‖x - y‖²): (); and for each x Σ p(x, y) y: (b, d)."""
    size = max(_COSINES_AT_A_TIME // len(vectors), 1)
    scaled = vectors * _FOUR  # (b, d)
    pulls = torch.empty_like(vectors)
    total = vectors.new_zeros(())
    for start in range(0, len(vectors), size):
        part = slice(start, start + size)
        powers = (scaled[part] @ vectors.T).sub_(_FOUR).exp2_()  # (c, b)
        powers.diagonal(start).zero_()
        total += powers.sum()
        pulls[part] = powers @ vectors
    return total, pulls


def l2_penalty(layer_zero: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Half the sum of squares of the batch's layer-0 rows, per pair of the batch (LightGCN, eq. 12).

    Args:
        layer_zero: (m, d) layer-0 embeddings of the batch's users, positives and negatives, with repeats.
        batch_size: b.

    Returns:
        A scalar, to be multiplied by the regularisation weight.
    """
    return layer_zero.square().sum() / (2 * batch_size)

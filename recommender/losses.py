"""Training losses, one formula each."""

import torch
from torch.nn.functional import softplus


def bpr_loss(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Mean of -log sigmoid(s⁺ - s⁻): Rendle et al., "BPR: Bayesian Personalized Ranking", UAI 2009.

    Args:
        positive: (b,) scores of items the users had.
        negative: (b,) scores of items they had not.

    Returns:
        A scalar.
    """
    return softplus(negative - positive).mean()


def l2_penalty(layer_zero: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Half the sum of squares of the batch's layer-0 rows, per pair of the batch (LightGCN, eq. 12).

    Args:
        layer_zero: (3b, d) layer-0 embeddings of the batch's users, positives and negatives, with repeats.
        batch_size: b.

    Returns:
        A scalar, to be multiplied by the regularisation weight.
    """
    return layer_zero.square().sum() / (2 * batch_size)

"""Additive attention of the newest events of a history to those up to them: of NARM, STAMP, SR-GNN and NISER.

Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015, with the
logistic function and, as these four have it, without a softmax over the weights:

    out_t = Σ_{j ≤ t} w_tj y_j,   w_tj = <q, sigmoid(a_t + o_j)>

Letters: r histories of one length L, m of whose events ask, d dimensions.
"""

from typing import Final

import torch

_NUMBERS_AT_A_TIME: Final = 8_000_000  # 32 MB


def additive_attention(
    asked: torch.Tensor, offered: torch.Tensor, weight: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """What each of the last m events finds among those up to it, 32 MB of pairs at a time.

    Args:
        asked: (r, m, d) a of the m newest events, m ≤ L.
        offered: (r, L, d) o.
        weight: (d,) q.
        values: (r, L, d') y.

    Returns:
        (r, m, d').
    """
    pairs = asked.shape[1] * offered.shape[1] * offered.shape[2]
    size = max(1, _NUMBERS_AT_A_TIME // pairs)
    parts = zip(asked.split(size), offered.split(size), values.split(size), strict=True)
    return torch.cat([_attend(a, o, weight, y) for a, o, y in parts])


def _attend(
    asked: torch.Tensor, offered: torch.Tensor, weight: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    later = offered.shape[1] - asked.shape[1]
    shares = torch.sigmoid(asked.unsqueeze(2) + offered.unsqueeze(1)) @ weight  # (r, m, L)
    return shares.tril(later) @ values

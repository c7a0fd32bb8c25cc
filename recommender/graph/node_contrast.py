"""InfoNCE of some nodes against candidates: the batch's other nodes, or all nodes of their side.

    loss = mean over anchors v of  -log  exp(cos(a_v, c_t(v))/τ) / Σ_w exp(cos(a_v, c_w)/τ)

Van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018, as NCL (Lin et al.,
WWW 2022, eq. 5-6) and LightGCL (Cai et al., ICLR 2023, eq. 6) use it. Cosines exist for a few anchors at a
time (`recommender.training.full_softmax`). Letters: m anchors, n candidates, N nodes, d embedding_dim, τ
temperature.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch.nn.functional import normalize

from recommender.training.full_softmax import catalogue_cross_entropy

Against: TypeAlias = Literal["batch", "all"]
"""Negatives of a node: other nodes of the batch, or all other nodes of its side."""


def info_nce_among(
    anchors: torch.Tensor, candidates: torch.Tensor, targets: torch.Tensor, temperature: float
) -> torch.Tensor:
    """InfoNCE of anchors whose positive is one of many candidates.

    Cost: three products of m · n · d. With 2,048 anchors, 22,000 candidates take ten times as long as the
    batch's own nodes do.

    Args:
        anchors: (m, d).
        candidates: (n, d).
        targets: (m,) int64: which candidate is the anchor's positive; all others are its negatives.
        temperature: τ > 0.

    Returns:
        A scalar. Both tensors get gradients.
    """
    return catalogue_cross_entropy(
        normalize(anchors, dim=1) / temperature, normalize(candidates, dim=1), targets
    )


def contrast_in_batch(
    anchors: Sequence[torch.Tensor], others: Sequence[torch.Tensor], temperature: float
) -> list[torch.Tensor]:
    """One InfoNCE per side, its negatives the side's other nodes in the batch.

    Args:
        anchors: For each side (m, d): one view of distinct nodes.
        others: The other view of the same nodes.
        temperature: τ > 0.
    """
    rows = [torch.arange(len(side), device=side.device) for side in anchors]
    return contrast_with_all(anchors, others, rows, temperature)


def contrast_with_all(
    anchors: Sequence[torch.Tensor],
    everything: Sequence[torch.Tensor],
    rows: Sequence[torch.Tensor],
    temperature: float,
) -> list[torch.Tensor]:
    """One InfoNCE per side, its negatives all other nodes of the side.

    Args:
        anchors: For each side (m, d): one view of some nodes.
        everything: For each side (n, d): the other view of all of its nodes.
        rows: For each side (m,) int64: where in ``everything`` the anchors are.
        temperature: τ > 0.
    """
    return [
        info_nce_among(side, candidates, targets, temperature)
        for side, candidates, targets in zip(anchors, everything, rows, strict=True)
    ]

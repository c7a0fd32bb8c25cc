"""Agreement of two views of the same nodes: symmetric InfoNCE whose negatives come from three places.

RecMind (arXiv 2509.06286), eq. 5, z^G the graph's vector of a node and z^L its text's:

    l(a, c) = mean over nodes v of  -log  exp(cos(a_v, c_v)/τ) / Σ_w exp(cos(a_v, c_w)/τ)
    loss = (l(z^G, z^L) + l(z^L, z^G)) / 2             w: nodes of the batch, of the queue, v's hard ones

Our reconstruction: the halves weigh the same; a node is in the denominator once, with its freshest vector:
that of the batch before that of the queue, and of the queue before that of the hard ones. A node's own vector
is its positive and no negative wherever else it stands. Gradients reach the batch's vectors only.

Letters: m nodes of the batch, K places of the queue, h hard ones each, d embedding_dim, τ temperature.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.nn.functional import normalize

_COSINES_AT_A_TIME: Final = 4_000_000  # 16 MB


@dataclass(frozen=True, slots=True)
class Negatives:
    """Vectors of nodes that are not in the batch, each of length 1; p pairs of a node and a hard negative.

    Attributes:
        queue: (K, d), negatives of every node.
        is_queued: (K,) bool: which of them count.
        hard: (p, d), negatives of one node each.
        is_hard: (m, h) bool with p True entries: whose they are, line by line.
    """

    queue: torch.Tensor
    is_queued: torch.Tensor
    hard: torch.Tensor
    is_hard: torch.Tensor


def symmetric_info_nce(
    graph: torch.Tensor,
    text: torch.Tensor,
    *,
    graph_negatives: Negatives,
    text_negatives: Negatives,
    temperature: float,
) -> torch.Tensor:
    """Mean of both directions.

    Args:
        graph: (m, d) z^G of distinct nodes, m ≥ 1.
        text: (m, d) z^L of the same nodes.
        graph_negatives: z^G of others.
        text_negatives: z^L of the same others.
        temperature: τ > 0.

    Returns:
        A scalar, which can be derived once. Cost: 4 · m · (m + K) · d products.
    """
    forth = info_nce(graph, text, text_negatives, temperature)
    back = info_nce(text, graph, graph_negatives, temperature)
    return (forth + back) / 2


def info_nce(
    anchors: torch.Tensor, keys: torch.Tensor, negatives: Negatives, temperature: float
) -> torch.Tensor:
    """One direction, l(anchors, keys).

    Args:
        anchors: (m, d).
        keys: (m, d): line v is the positive of anchor v, and a negative of all others.
        negatives: Of the keys' view.
        temperature: τ > 0.
    """
    scaled = normalize(anchors, dim=1) / temperature  # (m, d)
    lines = negatives.is_hard.nonzero()[:, 0]  # (p,)
    cosines = (scaled.index_select(0, lines) * negatives.hard).sum(dim=1)
    hard = scaled.new_full(negatives.is_hard.shape, -torch.inf)  # (m, h)
    hard = hard.masked_scatter(negatives.is_hard, cosines)
    hides = scaled.new_zeros(len(negatives.queue)).masked_fill_(~negatives.is_queued, -torch.inf)
    given = scaled, normalize(keys, dim=1), negatives.queue, hides, hard
    with torch.autocast(scaled.device.type, enabled=False):  # it adds up what it multiplies, in place
        wide = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in given)
        loss: torch.Tensor = _InfoNCE.apply(*wide)
    return loss


class _InfoNCE(torch.autograd.Function):
    """Logits, to the base 2, become their own gradients in place; no product is made for the queue's."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch counts gradients by position
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        anchors: torch.Tensor,
        keys: torch.Tensor,
        queue: torch.Tensor,
        hides: torch.Tensor,
        hard: torch.Tensor,
    ) -> torch.Tensor:
        bits = anchors / math.log(2)  # 2^x takes half the time of e^x on CPUs
        logits = [
            bits @ keys.T,
            torch.addmm(hides, bits, queue.T),
            hard / math.log(2),
        ]  # (m, m), (m, K), (m, h)
        positive = logits[0].diagonal().clone()
        largest = torch.stack([part.amax(dim=1) for part in logits if part.shape[1]]).amax(dim=0)  # (m,)
        total = torch.zeros_like(largest)
        for part in logits:
            total += part.sub_(largest.unsqueeze(1)).exp2_().sum(dim=1)
        loss = (total.log2() + largest - positive).mean() * math.log(2)
        scale = 1 / (total * len(anchors)).unsqueeze(1)  # (m, 1)
        own = logits[0].mul_(scale)
        own.diagonal().sub_(1 / len(anchors))
        by_anchors = (logits[1] @ queue).mul_(scale).addmm_(own, keys)
        ctx.save_for_backward(by_anchors, own.T @ anchors, logits[2].mul_(scale))
        return loss

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor,
    ) -> tuple[torch.Tensor | None, ...]:
        by_anchors, by_keys, by_hard = ctx.saved_tensors
        return by_anchors * grads[0], by_keys * grads[0], None, None, by_hard * grads[0]


def absent_from(listed: torch.Tensor, *groups: torch.Tensor) -> torch.Tensor:
    """Which listed nodes stand in none of some groups.

    Args:
        listed: (…) int64; -1 is no node.
        groups: (n,) int64 each; -1 is no node.

    Returns:
        (…) bool; False at -1.
    """
    largest = max((int(group.max()) for group in (listed, *groups) if group.numel()), default=-1)
    present = torch.zeros(largest + 2, dtype=torch.bool, device=listed.device)
    present[-1] = True  # where -1 looks
    for group in groups:
        present[group] = True
    return ~present[listed]


def nearest_by_cosine(vectors: torch.Tensor, count: int) -> torch.Tensor:
    """For every row the rows of highest cosine with it, not itself.

    Args:
        vectors: (n, d). A zero row has none and is no other's.
        count: h ≥ 0.

    Returns:
        (n, min(h, n)) int64, nearest first; -1 where there are fewer. Cost: n² · d products.
    """
    units = normalize(vectors, dim=1)
    known = units.any(dim=1)
    found = torch.full((len(units), min(count, len(units))), -1, device=units.device)
    size = max(1, _COSINES_AT_A_TIME // max(len(units), 1))
    for start in range(0, len(units), size):
        cosines = units[start : start + size] @ units.T  # (c, n)
        cosines[:, ~known] = -torch.inf
        cosines.diagonal(start).fill_(-torch.inf)
        best = cosines.topk(found.shape[1], dim=1)
        found[start : start + size] = torch.where(best.values.isfinite(), best.indices, -1)
    found[~known] = -1
    return found

"""What a user looks for next, from the vectors of the newest items: an order-aware query. Ours.

ISRF (arXiv 2603.13934) leaves the order to a language model. In the form without one, x_a is the vector of
the item of age a (0: the newest), and θ_a a learned number that starts at a ln 0.7, the decay of `counting`:

    decay        w_a = softmax_a(θ_a)
    attention    w_a = softmax_a(θ_a + <Q x_0, K x_a> / √d)
    p = Σ_a w_a x_a,   q = p + W2 relu(W1 p + b1) + b2,   query = q / ‖q‖

p is near items that went with those of the history; the second part, which begins small, is what p turns
into: transitions from item to item, which have a direction where cosines have none.

Letters: T events, d embedding_dim, n max_length; r histories of one length L.
"""

import math
from typing import Final, Literal, TypeAlias

import torch
from torch.nn.functional import linear, normalize, relu, scaled_dot_product_attention

from recommender.sequence.causal_attention import drop
from recommender.sequence.sequences import Sequences

Pooling: TypeAlias = Literal["decay", "attention"]

_FIRST_DECAY: Final = 0.7


class HistoryQuery(torch.nn.Module):
    """Queries of all events of some histories, each knowing its history up to its event.

    Args:
        pooling: How events weigh.
        embedding_dim: d.
        max_length: n ≥ 1, newest events that are read.
        dropout: Chance of a value of x, or of the second part, to be dropped in training.
        generator: Of the first weights.
    """

    def __init__(
        self,
        pooling: Pooling,
        *,
        embedding_dim: int,
        max_length: int,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.max_length = max_length
        self._dropout = dropout
        self.ages = torch.nn.Parameter(torch.arange(max_length) * math.log(_FIRST_DECAY))  # (n,) θ
        self.weight_in = _new(embedding_dim, generator, 1.0)  # W1
        self.bias_in = torch.nn.Parameter(torch.zeros(embedding_dim))  # b1
        self.weight_out = _new(embedding_dim, generator, 0.1)  # W2
        self.bias_out = torch.nn.Parameter(torch.zeros(embedding_dim))  # b2
        self.query = self.key = None  # Q and K
        if pooling == "attention":
            self.query = _new(embedding_dim, generator, 0.1)
            self.key = _new(embedding_dim, generator, 0.1)

    def forward(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        """(T, d) queries of length 1.

        Args:
            items: (I, d) item vectors of length 1.
            sequences: Histories of at most ``max_length`` events.
            noise: Source of dropout; None for no dropout.
        """
        rows = torch.from_numpy(sequences.items).to(items.device)
        events = drop(items.index_select(0, rows) * items.shape[1] ** 0.5, self._dropout, noise)
        blocks = sequences.blocks
        parts = zip(events.split([count * length for count, length in blocks]), blocks, strict=True)
        pooled = torch.cat([self._pooled(part.view(*block, -1)) for part, block in parts])  # (T, d)
        wide = relu(linear(pooled, self.weight_in, self.bias_in))
        turned = linear(wide, self.weight_out, self.bias_out)
        return normalize(pooled + drop(turned, self._dropout, noise), dim=1)

    def _pooled(self, events: torch.Tensor) -> torch.Tensor:
        """(r · L, d) p of (r, L, d) events."""
        bias = self._bias(events.shape[1])
        if self.query is None or self.key is None:
            return (bias.softmax(dim=1) @ events).flatten(0, 1)
        asked, offered = linear(events, self.query), linear(events, self.key)
        return scaled_dot_product_attention(asked, offered, events, attn_mask=bias).flatten(0, 1)

    def _bias(self, length: int) -> torch.Tensor:
        """(L, L): θ of the age that each event (column) has for another (line); -inf for what comes later."""
        places = torch.arange(length, device=self.ages.device)
        ages = places.unsqueeze(1) - places  # (L, L)
        return self.ages[ages.clamp(min=0)].masked_fill(ages < 0, -math.inf)


def _new(dim: int, generator: torch.Generator, share: float) -> torch.nn.Parameter:
    """(d, d) by Glorot (2010), or a share of it."""
    bound = share * (3 / dim) ** 0.5
    return torch.nn.Parameter((2 * torch.rand(dim, dim, generator=generator) - 1) * bound)

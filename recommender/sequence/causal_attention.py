"""Causal self-attention over histories without padding: a block of the transformer.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017; its parts in SASRec's order (ICDM 2018, 3.3):

    x = x + dropout(Attention(LayerNorm(x))),  x = x + dropout(W2 relu(W1 LayerNorm(x) + b1) + b2)

Letters: T events, d embedding_dim, H heads, r histories of one length L.
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import relu, scaled_dot_product_attention

from recommender.training.random_words import dropout


class CausalBlock(torch.nn.Module):
    """Self-attention of every event to itself and those before it in its history, then a feed-forward net.

    Args:
        embedding_dim: d, a multiple of ``num_heads``.
        num_heads: H.
        feedforward_dim: Width of W1.
        dropout_rate: Chance of a value to be dropped from what either part adds; attention weights are not.
        generator: Of the first weights: uniform within ±√(6 / (fan in + fan out)).
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int,
        feedforward_dim: int,
        dropout_rate: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._num_heads = num_heads
        self._dropout_rate = dropout_rate
        self.norm_attention = torch.nn.LayerNorm(embedding_dim)
        self.query_key_value = _linear(embedding_dim, 3 * embedding_dim, generator)
        self.attended = _linear(embedding_dim, embedding_dim, generator)
        self.norm_feedforward = torch.nn.LayerNorm(embedding_dim)
        self.widen = _linear(embedding_dim, feedforward_dim, generator)
        self.narrow = _linear(feedforward_dim, embedding_dim, generator)

    def forward(
        self, events: torch.Tensor, blocks: Sequence[tuple[int, int]], noise: torch.Generator | None
    ) -> torch.Tensor:
        """(T, d) events after this block.

        Args:
            events: (T, d), as `recommender.sequence.sequences.Sequences` orders them.
            blocks: (histories, length) of every length.
            noise: Source of dropout; nothing is dropped without it.
        """
        mixed = self._attention(self.query_key_value(self.norm_attention(events)), blocks)
        events = events + drop(self.attended(mixed), self._dropout_rate, noise)
        wide = relu(self.widen(self.norm_feedforward(events)))
        return events + drop(self.narrow(wide), self._dropout_rate, noise)

    def _attention(self, projected: torch.Tensor, blocks: Sequence[tuple[int, int]]) -> torch.Tensor:
        size = projected.shape[1] // (3 * self._num_heads)
        parts: list[torch.Tensor] = []
        for block, (count, length) in zip(projected.split([n * m for n, m in blocks]), blocks, strict=True):
            heads = block.view(count, length, 3, self._num_heads, size).permute(2, 0, 3, 1, 4)
            query, key, value = heads.unbind()  # (r, H, L, d / H) each
            mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
            parts.append(mixed.transpose(1, 2).reshape(count * length, -1))  # (r · L, d)
        return torch.cat(parts)


def drop(values: torch.Tensor, chance: float, noise: torch.Generator | None) -> torch.Tensor:
    """`recommender.training.random_words.dropout` while there is noise; the values themselves without."""
    return values if noise is None else dropout(values, chance, noise)


def _linear(input_dim: int, output_dim: int, generator: torch.Generator) -> torch.nn.Linear:
    """A linear map with Glorot's first weights (2010) and no bias at first, from this generator alone."""
    layer = torch.nn.Linear(input_dim, output_dim, device="meta").to_empty(device="cpu")
    bound = (6 / (input_dim + output_dim)) ** 0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer

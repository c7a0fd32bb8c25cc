"""Self-attention of all events of a history to all others, without padding: a block of BERT's transformer.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", NAACL 2019.
Events see what is later, too, unlike those of `recommender.sequence.causal_attention`; as there, norms come
first:

    x = x + dropout(Attention(LayerNorm(x))),  x = x + dropout(W2 gelu(W1 LayerNorm(x) + b1) + b2)

BERT's norms come last. Blocks like that learned nothing at step sizes at which these learn (our choice).

Letters: T events, d embedding_dim, H heads, r histories of one length L.
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import gelu, scaled_dot_product_attention

from recommender.sequence.causal_attention import drop
from recommender.training.first_weights import uniform


class BidirectionalBlock(torch.nn.Module):
    """Self-attention of every event to its whole history, then a feed-forward net.

    Args:
        embedding_dim: d, a multiple of ``num_heads``.
        num_heads: H.
        feedforward_dim: Width of W1.
        dropout_rate: Chance of a value to be dropped from what either part adds; attention weights are not.
        generator: Of the first weights: uniform within ±1/√(inputs).
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
        wide = gelu(self.widen(self.norm_feedforward(events)))
        return events + drop(self.narrow(wide), self._dropout_rate, noise)

    def _attention(self, projected: torch.Tensor, blocks: Sequence[tuple[int, int]]) -> torch.Tensor:
        size = projected.shape[1] // (3 * self._num_heads)
        parts: list[torch.Tensor] = []
        for block, (count, length) in zip(projected.split([n * m for n, m in blocks]), blocks, strict=True):
            heads = block.view(count, length, 3, self._num_heads, size).permute(2, 0, 3, 1, 4)
            query, key, value = heads.unbind()  # (r, H, L, d / H) each
            mixed = scaled_dot_product_attention(query, key, value)
            parts.append(mixed.transpose(1, 2).reshape(count * length, -1))  # (r · L, d)
        return torch.cat(parts)


def _linear(input_dim: int, output_dim: int, generator: torch.Generator) -> torch.nn.Linear:
    return uniform(torch.nn.Linear(input_dim, output_dim, device="meta"), input_dim**-0.5, generator)

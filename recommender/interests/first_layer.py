"""Layer 0 of ISRF: users as trained vectors, items as what their texts say.

ISRF (arXiv 2603.13934), eq. 2-3, Ẽ a frozen projection of the items' chains of thought:

    E(0) = [E_U ; E_V],   E_U ~ N(0, s²),   E_V = W2 (W1 Ẽ + b1) + b2

    linear    E_V as it stands here and in the authors' code
    relu      E_V = W2 relu(W1 Ẽ + b1) + b2, if an adapter is to be more than one linear map
    none      E_V = s Ẽ, its first d dimensions, frozen: the ablation "without adapter"

``fusion=add`` gives items an ID embedding beside E_V, which is ours; ``none`` one in its place, the ablation
"without E_V". An item without a vector is b2 at first. Letters: U users, I items, N = U + I, d' dimensions of
Ẽ, d embedding_dim, s init_std.
"""

from typing import Literal, TypeAlias

import torch
from pydantic import Field
from torch.nn.functional import linear, pad, relu

from recommender.data import FloatArray
from recommender.text.layer_zero import LinearAdapter
from recommender.training.ranking_loss import RankingConfig

Adapter: TypeAlias = Literal["linear", "relu", "none"]


class InterestLayerConfig(RankingConfig):
    """Settings of layer 0; of the fusions there are ``replace``, ``add`` and ``none``."""

    adapter: Adapter = Field(
        default="linear", description="Between the frozen projection and E_V; none: without adapter."
    )
    text_pace: float = Field(
        default=1.0, gt=0, description="How many times as fast as ID embeddings E_V is learned."
    )


class InterestLayer(torch.nn.Module):
    """(N, d) E(0): users, then items.

    Args:
        config: Gives d, s, fusion and adapter.
        num_users: U.
        num_items: I.
        item_vectors: (I, d') float32 Ẽ, or None: items are ID embeddings then.
        generator: Of the first weights.
    """

    def __init__(
        self,
        config: InterestLayerConfig,
        *,
        num_users: int,
        num_items: int,
        item_vectors: FloatArray | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        given = None if config.fusion == "none" or item_vectors is None else torch.from_numpy(item_vectors)
        kept = 0 if given is not None and config.fusion == "replace" else num_items
        ids = torch.randn(num_users + kept, config.embedding_dim, generator=generator) * config.init_std
        self.ids = torch.nn.Parameter(ids)  # users first
        self._num_users = num_users
        self._has_item_ids = kept > 0
        self._pace = 1.0 if config.adapter == "none" else config.text_pace
        slower = config.model_copy(update={"init_std": config.init_std / self._pace})
        self.adapter = None if given is None else _adapter(given, slower, generator)

    def forward(self) -> torch.Tensor:
        """(N, d), with gradients."""
        if self.adapter is None:
            return self.ids
        users, items = self.ids[: self._num_users], self.ids[self._num_users :]
        adapted = self._pace * self.adapter(items)
        return torch.cat([users, items + adapted if self._has_item_ids else adapted])


class ReluAdapter(torch.nn.Module):
    """E_V = W2 relu(W1 Ẽ + b1) + b2; W1 starts as He et al. (2015) draw it, so that E_V begins near s.

    As in `recommender.text.layer_zero`, what trains is each matrix times its number of inputs.

    Args:
        vectors: (I, d') float32 Ẽ, frozen.
        config: Gives d and s.
        generator: Of the first weights.
    """

    vectors: torch.Tensor

    def __init__(
        self, vectors: torch.Tensor, config: InterestLayerConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        input_dim, output_dim = vectors.shape[1], config.embedding_dim
        hidden_dim = (input_dim + output_dim) // 2 or 1
        self.register_buffer("vectors", vectors / input_dim, persistent=False)
        first = torch.randn(hidden_dim, input_dim, generator=generator) * (2 * input_dim) ** 0.5
        second = torch.randn(output_dim, hidden_dim, generator=generator) * config.init_std * hidden_dim**0.5
        self.scaled_in, self.scaled_out = torch.nn.Parameter(first), torch.nn.Parameter(second)
        self.bias_in = torch.nn.Parameter(torch.zeros(hidden_dim))  # b1
        self.bias_out = torch.nn.Parameter(torch.zeros(output_dim))  # b2

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(I, d) E_V; ``ids`` are not read."""
        del ids
        hidden = relu(linear(self.vectors, self.scaled_in, self.bias_in))  # (I, (d' + d)/2)
        return linear(hidden, self.scaled_out / self.scaled_out.shape[1], self.bias_out)


class _Frozen(torch.nn.Module):
    """E_V = s Ẽ."""

    vectors: torch.Tensor

    def __init__(self, vectors: torch.Tensor, config: InterestLayerConfig) -> None:
        super().__init__()
        read = vectors[:, : config.embedding_dim]
        padded = pad(read, (0, config.embedding_dim - read.shape[1])) * config.init_std  # (I, d)
        self.register_buffer("vectors", padded, persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        del ids
        return self.vectors


def _adapter(
    vectors: torch.Tensor, config: InterestLayerConfig, generator: torch.Generator
) -> torch.nn.Module:
    match config.adapter:
        case "linear":
            return LinearAdapter(vectors, config, generator)
        case "relu":
            return ReluAdapter(vectors, config, generator)
        case "none":
            return _Frozen(vectors, config)

"""What a model knows of nodes before it propagates: ID embeddings, fused with vectors of a release.

One module for every model, so that text helps or fails all of them in the same way. Ẽ (n, d') is the frozen
PCA of stored vectors (`recommender.text.projection`), E_id an ID embedding, E_V = W2 (W1 Ẽ + b1) + b2 the
adapter of ISRF (arXiv 2603.13934, eq. 2; its published code has no activation, hidden size (d' + d)/2).

    replace   E_V                           ISRF eq. 3: no ID embedding at all
    add       E_id + E_V                    our reconstruction, for texts that say too little
    concat    W [E_id ‖ Ẽ] + b              LGHRec's fusion (arXiv 2505.12396), of Ẽ, not of raw vectors
    gate      g E_id + (1 - g) E_V          RecMind's gate (arXiv 2509.06286, eq. 6-7), at layer 0, without
                                            its degree: g = sigmoid(w·[E_id ‖ E_V] + b)
    init      E_id                          starts as the first d dimensions of Ẽ: LLMInit (arXiv 2503.01814)
    none      E_id                          nobody looks at the vectors

Reconstructions: W2 starts at s/√hidden so that E_V begins as small as E_id (s = init_std), ``init`` is scaled
to s, and d' < d leaves its other dimensions random. In ``concat`` W begins as [I ‖ N(0, s²/d')] for the same
reason; from Glorot's numbers, as in LGHRec's code, items begin ten times as long as users, nearly all text.

A step of Adam moves every weight by about the learning rate, and so an output by that times its inputs: E_V
would learn a hundred times as fast as E_id, the noise of batches too. Maps of texts therefore train n W
instead of W, n its inputs, which makes E_V as fast as E_id (Yang et al., arXiv 2203.03466, table 3: Adam's
learning rate over n), and so does the part of ``concat`` that reads E_id, which moves all items at once. On
colakg-lastfm's validation part this took LightGCN's NDCG@20 from .2118 to .2215 with ``add``. With ``concat``
it is .2189; from Glorot's numbers, .2084; with a map of E_id as fast as E_id, .2004, and .2026 with both.
"""

from typing import Final, TypeAlias

import torch

from recommender.data import FloatArray, TrainingData
from recommender.training.embedding_config import EmbeddingConfig


class LayerZero(torch.nn.Module):
    """(N, d) layer-0 embeddings: users, then items.

    Args:
        config: Gives d, s and the fusion.
        num_users: U; 0 for a model that embeds items only.
        num_items: I.
        user_vectors: (U, d') float32 Ẽ of users, or None.
        item_vectors: (I, d') float32 Ẽ of items, or None.
        generator: Of the first weights.
    """

    def __init__(
        self,
        config: EmbeddingConfig,
        *,
        num_users: int,
        num_items: int,
        user_vectors: FloatArray | None = None,
        item_vectors: FloatArray | None = None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        given = [None if v is None else torch.from_numpy(v) for v in (user_vectors, item_vectors)]
        if config.fusion == "none":
            given = [None, None]
        counts = (num_users, num_items)
        kept = [
            0 if vectors is not None and config.fusion == "replace" else count
            for count, vectors in zip(counts, given, strict=True)
        ]
        ids = torch.randn(sum(kept), config.embedding_dim, generator=generator) * config.init_std
        if config.fusion == "init":
            for block, vectors in zip(ids.split(kept), given, strict=True):
                _start_from(block, vectors, config.init_std)
            given = [None, None]
        self._kept = kept
        self.ids = torch.nn.Parameter(ids)  # (N, d), or fewer rows with "replace": users first
        self.fused = torch.nn.ModuleList(
            torch.nn.Identity() if vectors is None else _FUSED[config.fusion](vectors, config, generator)
            for vectors in given
        )
        self._plain = all(vectors is None for vectors in given)

    @classmethod
    def of(
        cls,
        config: EmbeddingConfig,
        data: TrainingData,
        vectors: "NodeVectors",
        generator: torch.Generator,
    ) -> "LayerZero":
        """For all users and items of the training data."""
        return cls(
            config,
            num_users=data.num_users,
            num_items=data.num_items,
            user_vectors=vectors[0],
            item_vectors=vectors[1],
            generator=generator,
        )

    def forward(self) -> torch.Tensor:
        """(N, d): users, then items."""
        if self._plain:
            return self.ids
        blocks = zip(self.fused, self.ids.split(self._kept), strict=True)
        return torch.cat([fused(ids) for fused, ids in blocks])


NodeVectors: TypeAlias = tuple[FloatArray | None, FloatArray | None]
"""Projected vectors Ẽ of users and of items; None where there are none."""


class LinearAdapter(torch.nn.Module):
    """E_V = W2 (W1 Ẽ + b1) + b2. Without an activation the two maps are composed before Ẽ is read.

    Args:
        vectors: (n, d') float32 Ẽ, frozen.
        config: Gives d and s.
        generator: Of the first weights.
    """

    vectors: torch.Tensor

    def __init__(self, vectors: torch.Tensor, config: EmbeddingConfig, generator: torch.Generator) -> None:
        super().__init__()
        input_dim, output_dim = vectors.shape[1], config.embedding_dim
        hidden_dim = (input_dim + output_dim) // 2 or 1
        self.register_buffer("vectors", vectors / input_dim, persistent=False)
        self.scaled_in = _new((hidden_dim, input_dim), input_dim**0.5, generator)  # d' W1
        self.bias_in = torch.nn.Parameter(torch.zeros(hidden_dim))  # b1
        self.scaled_out = _new((output_dim, hidden_dim), config.init_std * hidden_dim**0.5, generator)
        self.bias_out = torch.nn.Parameter(torch.zeros(output_dim))  # b2

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(n, d) E_V; ``ids`` has no rows and is not read."""
        del ids
        outer = self.scaled_out / self.scaled_out.shape[1]  # (d, hidden) W2
        bias = outer @ self.bias_in + self.bias_out  # (d,)
        return torch.addmm(bias, self.vectors, (outer @ self.scaled_in).T)


class _Add(torch.nn.Module):
    def __init__(self, vectors: torch.Tensor, config: EmbeddingConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.adapter = LinearAdapter(vectors, config, generator)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return ids + self.adapter(ids)


class _Gate(torch.nn.Module):
    def __init__(self, vectors: torch.Tensor, config: EmbeddingConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.adapter = LinearAdapter(vectors, config, generator)
        self.weight = _new((2 * config.embedding_dim, 1), 0.01, generator)
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        adapted = self.adapter(ids)  # (n, d)
        gate = torch.sigmoid(torch.cat([ids, adapted], dim=1) @ self.weight + self.bias)  # (n, 1)
        return gate * ids + (1 - gate) * adapted


class _Concat(torch.nn.Module):
    vectors: torch.Tensor

    def __init__(self, vectors: torch.Tensor, config: EmbeddingConfig, generator: torch.Generator) -> None:
        super().__init__()
        own_dim, text_dim = config.embedding_dim, vectors.shape[1]
        self.register_buffer("vectors", vectors / text_dim, persistent=False)
        self.scaled_own = torch.nn.Parameter(own_dim * torch.eye(own_dim))  # d times the part of W for E_id
        self.scaled_text = _new((own_dim, text_dim), config.init_std * text_dim**0.5, generator)  # d' times
        self.bias = torch.nn.Parameter(torch.zeros(own_dim))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        own = torch.addmm(self.bias, ids, self.scaled_own.T / ids.shape[1])  # (n, d)
        return torch.addmm(own, self.vectors, self.scaled_text.T)


_FUSED: Final = {"replace": LinearAdapter, "add": _Add, "concat": _Concat, "gate": _Gate}


def _new(shape: tuple[int, ...], std: float, generator: torch.Generator) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(shape, generator=generator) * std)


def _start_from(block: torch.Tensor, vectors: torch.Tensor | None, std: float) -> None:
    """Put the first dimensions of Ẽ, scaled to ``std``, in place of random ones where there are vectors."""
    if vectors is None:
        return
    shared = min(block.shape[1], vectors.shape[1])
    part = vectors[:, :shared]
    known = part.abs().sum(dim=1) > 0
    scale = part[known].std().clamp(min=1e-8)
    block[known, :shared] = part[known] * (std / scale)

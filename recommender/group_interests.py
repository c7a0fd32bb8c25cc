"""Interests of groups: LightGCN over a graph of users who resemble each other.

ISRF (arXiv 2603.13934), eq. 7, S from `recommender.user_graph`, D_S its row sums, H(0) ~ N(0, s²) trained:

    H = 1/(L_u + 1) Σ_{l=0..L_u} Ŝ^l H(0),   Ŝ = D_S^-1/2 S D_S^-1/2

S is directed, as eq. 6 defines it; the mean of layers is the authors' code's. Its self loops are left out:
layer 0 is one's own already.

A step reads some users, so the last product is made for them only. The default of one layer then costs K rows
per user of a batch, whereas every further layer costs K rows per user of all.

Letters: U users, K neighbours, d embedding_dim, m asked users.
"""

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from recommender.data import IntArray


class GroupInterests(torch.nn.Module):
    """H, of which some rows are read at a time.

    Args:
        neighbors: (U, K) int64, -1 where a user has fewer.
        num_layers: L_u ≥ 0.
        embedding_dim: d.
        std: s.
        generator: Of H(0).
    """

    neighbors: torch.Tensor
    weights: torch.Tensor

    def __init__(
        self,
        neighbors: IntArray,
        num_layers: int,
        *,
        embedding_dim: int,
        std: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._num_layers = num_layers
        self.own = torch.nn.Parameter(torch.randn(len(neighbors), embedding_dim, generator=generator) * std)
        there = neighbors >= 0
        scale = 1.0 / np.sqrt(np.maximum(there.sum(axis=1), 1))  # (U,)
        weights = np.where(there, scale[:, None] * scale[neighbors], 0.0).astype(np.float32)
        places = np.where(there, neighbors, 0).astype(np.int32)
        self.register_buffer("neighbors", torch.from_numpy(places), persistent=False)  # (U, K)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)  # (U, K) of Ŝ

    def forward(self, users: torch.Tensor) -> torch.Tensor:
        """(m, d) H of (m,) int64 users, with gradients."""
        own = self.own.index_select(0, users)
        if self._num_layers == 0 or not self.neighbors.shape[1]:
            return own / (self._num_layers + 1)
        inner = self.own  # (U, d) Σ_{l < L_u} Ŝ^l H(0), from the inside out
        for _ in range(self._num_layers - 1):
            inner = self.own + embedding_bag(
                self.neighbors, inner, mode="sum", per_sample_weights=self.weights
            )
        others = embedding_bag(
            self.neighbors.index_select(0, users),
            inner,
            mode="sum",
            per_sample_weights=self.weights.index_select(0, users),
        )  # (m, d)
        return (own + others) / (self._num_layers + 1)

    @torch.no_grad()
    def everything(self) -> torch.Tensor:
        """(U, d) H of all users, without gradients."""
        return self(torch.arange(len(self.own), device=self.own.device))

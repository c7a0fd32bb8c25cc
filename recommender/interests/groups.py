"""Interests of groups: LightGCN over a graph of users who resemble each other.

ISRF (arXiv 2603.13934), eq. 7, S from `recommender.interests.user_graph`, D_S its row sums, H(0) ~ N(0, s²)
trained:

    H = 1/(L_u + 1) Σ_{l=0..L_u} Ŝ^l H(0),   Ŝ = D_S^-1/2 S D_S^-1/2

S is directed, as eq. 6 defines it; the mean of layers is the authors' code's. Its self loops are left out:
layer 0 is one's own already.

A step reads some users, so the last product is made for them only: the default of one layer costs K rows per
user of a batch, every further layer K rows per user of all. The backward pass multiplies by the transposed
lines, which are sorted anew for every batch: an embedding bag's own backward takes five times as long.

Letters: U users, K neighbours, d embedding_dim, m asked users.
"""

from typing import Any

import numpy as np
import torch

from recommender.data import IntArray
from recommender.graph.propagation import Adjacency
from recommender.graph.sparse import SparseRows, from_entries


class GroupInterests(torch.nn.Module):
    """H, of which some rows are read at a time.

    Args:
        neighbors: (U, K) int64, -1 where a user has fewer.
        num_layers: L_u ≥ 0.
        embedding_dim: d.
        std: s.
        generator: Of H(0).
    """

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
        self._graph = normalized_graph(neighbors)  # Ŝ
        self.own = torch.nn.Parameter(torch.randn(len(neighbors), embedding_dim, generator=generator) * std)
        self.whole = _Product(self._graph)

    def forward(self, users: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
        """Two (m, d): H and H(0) of (m,) int64 users, with gradients."""
        rows = torch.from_numpy(users).to(self.own.device)
        own = self.own.index_select(0, rows)
        if self._num_layers == 0 or not len(self._graph.columns):
            return own / (self._num_layers + 1), own
        inner = self.own  # (U, d) Σ_{l < L_u} Ŝ^l H(0), from the inside out
        for _ in range(self._num_layers - 1):
            inner = self.own + self.whole(inner)
        if 2 * len(users) >= len(self.own):  # to take half of the lines, and transpose them, costs as much
            others = self.whole(inner).index_select(0, rows)  # (m, d)
        else:
            others = _Product(self._graph.take(users)).to(self.own.device)(inner)
        return (own + others) / (self._num_layers + 1), own

    @torch.no_grad()
    def everything(self) -> torch.Tensor:
        """(U, d) H of all users, without gradients."""
        return self(np.arange(len(self.own)))[0]


def normalized_graph(neighbors: IntArray) -> SparseRows:
    """Ŝ of (U, K) int64 lists that hold -1 where a user has fewer: (U, U)."""
    users, places = np.nonzero(neighbors >= 0)
    others = neighbors[users, places]
    scale = np.maximum(np.bincount(users, minlength=len(neighbors)), 1) ** -0.5
    size = len(neighbors)
    return from_entries(users, others, scale[users] * scale[others], num_rows=size, num_columns=size)


class _Product(torch.nn.Module):
    """A sparse (r, c) matrix times (c, d) vectors, with gradients."""

    def __init__(self, matrix: SparseRows) -> None:
        super().__init__()
        self.rows, self.transposed = _compressed(matrix), _compressed(matrix.transposed())

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(r, d)."""
        return _SparseProduct.apply(vectors, self.rows, self.transposed)


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        vectors: torch.Tensor,
        rows: Adjacency,
        transposed: Adjacency,
    ) -> torch.Tensor:
        ctx.transposed = transposed
        return rows.matmul(vectors)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor,
    ) -> tuple[torch.Tensor, None, None]:
        return ctx.transposed.matmul(grads[0].contiguous()), None, None


def _compressed(matrix: SparseRows) -> Adjacency:
    arrays = (matrix.indptr, matrix.columns, matrix.values)
    return Adjacency(*(torch.from_numpy(array) for array in arrays))

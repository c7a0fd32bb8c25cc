"""The leading singular vectors of a bipartite graph, and nodes seen through them.

Halko, Martinsson and Tropp, "Finding Structure with Randomness", SIAM Review 2011, algorithms 4.4 and 5.1:
R̂ (U, I), the normalised user-item block of Â, is multiplied with a few random vectors, back and forth, and
decomposed inside the space they span. R̂ is never built densely: products with Â of vectors that are zero on
one side are products with R̂ or its transpose. Letters: U users, I items, N = U + I, q rank, d
embedding_dim, L num_layers.
"""

from collections.abc import Sequence
from typing import Final

import torch

from recommender.graph.propagation import Adjacency, layer_sum

_EXTRA_VECTORS: Final = 8
"""Beyond q: what Halko et al. find enough, section 4.2 (5 to 10)."""
_POWER_ITERATIONS: Final = 6


class LowRankViews(torch.nn.Module):
    """Nodes seen through P_q = U_q S_q V_qᵀ, the best approximation of R̂ that has rank q.

    Args:
        adjacency: Â of a bipartite graph, users first.
        num_users: U.
        rank: q ≥ 1; no more than min(U, I) are kept.
    """

    user_factors: torch.Tensor
    item_factors: torch.Tensor
    blocks: torch.Tensor

    def __init__(self, adjacency: Adjacency, num_users: int, rank: int) -> None:
        super().__init__()
        users, values, items = truncated_svd(adjacency, num_users, rank)
        users, items = users * values.sqrt(), items * values.sqrt()
        self.register_buffer("user_factors", users, persistent=False)  # (U, q)
        self.register_buffer("item_factors", items, persistent=False)  # (I, q)
        self.register_buffer("blocks", torch.block_diag(users, items), persistent=False)  # (N, 2q)

    def rows(
        self,
        embeddings: torch.Tensor,
        adjacency: Adjacency,
        num_layers: int,
        places: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ_{l=1..L} G(l) of some nodes, G(l) = P_q E(l-1) for users and P_qᵀ E(l-1) for items.

        V_qᵀ Σ Â^l E(0) = (Σ Â^l V_q)ᵀ E(0), for Â is symmetric: 2q columns are propagated instead of d, and
        nothing of it needs gradients.

        Args:
            embeddings: (N, d) E(0).
            adjacency: Of the local layers E(l) = Â E(l-1).
            num_layers: L ≥ 1.
            places: (m_u,) int64 rows of users and (m_i,) int64 rows of items.

        Returns:
            (m_u, d) and (m_i, d), with gradients.
        """
        spread = layer_sum(self.blocks, adjacency, num_layers - 1)  # (N, 2q)
        of_users, of_items = (spread.T @ embeddings).chunk(2)  # (q, d) each
        return self.user_factors[places[0]] @ of_items, self.item_factors[places[1]] @ of_users


@torch.no_grad()
def truncated_svd(
    adjacency: Adjacency, num_users: int, rank: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The q largest singular values of R̂ and their vectors: (U, q), (q,) descending, (I, q).

    A fact of the graph: the random vectors have a seed of their own.
    """
    num_items = adjacency.num_nodes - num_users

    def to_users(items: torch.Tensor) -> torch.Tensor:
        return adjacency.matmul(torch.cat([items.new_zeros(num_users, items.shape[1]), items]))[:num_users]

    def to_items(users: torch.Tensor) -> torch.Tensor:
        return adjacency.matmul(torch.cat([users, users.new_zeros(num_items, users.shape[1])]))[num_users:]

    width = min(rank + _EXTRA_VECTORS, num_users, num_items)
    start = torch.randn(num_items, width, generator=torch.Generator().manual_seed(0))
    basis = _orthonormal(to_users(start.to(adjacency.values.device)))  # (U, width)
    for _ in range(_POWER_ITERATIONS):
        basis = _orthonormal(to_users(_orthonormal(to_items(basis))))
    items, values, inner = torch.linalg.svd(to_items(basis), full_matrices=False)
    kept = slice(min(rank, width))
    return (basis @ inner.T)[:, kept], values[kept], items[:, kept]


def _orthonormal(columns: torch.Tensor) -> torch.Tensor:
    return torch.linalg.qr(columns).Q

"""Propagation over a symmetric graph, and LightGCN's layer mean as one operator.

He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020,
eq. 7-8 (eq. 3-4 of ISRF, arXiv 2603.13934):

    E(l+1) = Â E(l),   Â = D^-1/2 A D^-1/2,   out = 1/(L+1) Σ_{l=0..L} E(l)

The sum is taken from the inside out, E + Â(E + Â(E + …)): one sparse product per layer, nothing stacked.
Â is symmetric, hence the whole operator is: the backward pass applies it to the gradient, no transposed
matrix is ever built. Letters: N nodes = users, then items; d embedding_dim; L num_layers; m gathered rows.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch

from recommender.data import IntArray

Perturb: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""(N, d) layer → the layer to go on with, in new memory."""


class Adjacency(torch.nn.Module):
    """A sparse (N, N) matrix in compressed rows; a module, so that it moves to a device with its network.

    Args:
        indptr: (N + 1,) int32, or int64 beyond 2^31 entries.
        columns: (nnz,) of the same type, ascending within a row.
        values: (nnz,) float32.
    """

    indptr: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor

    def __init__(self, indptr: torch.Tensor, columns: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("indptr", indptr, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("values", values, persistent=False)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.indptr) - 1

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        """Â times (N, d), as new (N, d) memory of the type of the values; without gradients.

        Rows of another precision, such as the bfloat16 of mixed precision, are summed in that of the values.
        A weighted sum of rows is what torch's embedding bag computes. Its kernel prefetches the rows it will
        need, and takes less than half of the time of MKL's sparse product (`torch.sparse`) on a CPU; it is
        handed no gradients to prepare for.
        """
        with torch.no_grad():
            return torch.nn.functional.embedding_bag(
                self.columns,
                dense.detach().to(self.values.dtype),
                self.indptr,
                mode="sum",
                per_sample_weights=self.values,
                include_last_offset=True,
            )


def normalized_adjacency(users: IntArray, items: IntArray, *, num_users: int, num_items: int) -> Adjacency:
    """Â of the bipartite graph of unique (user, item) pairs.

    Args:
        users: (n,) int64 rows of users.
        items: (n,) int64 rows of items.
        num_users: Nodes 0 to num_users - 1.
        num_items: Nodes from num_users on.

    Returns:
        (N, N) with 2n entries. A node without edges has an empty row: it keeps only its own E(0).
    """
    sources = np.concatenate([users, items + num_users])  # (2n,)
    targets = np.concatenate([items + num_users, users])  # (2n,)
    order = np.lexsort((targets, sources))
    degrees = np.bincount(sources, minlength=num_users + num_items)
    scale = 1.0 / np.sqrt(np.maximum(degrees, 1))
    values = (scale[sources] * scale[targets])[order]
    index_type = np.int32 if len(sources) < np.iinfo(np.int32).max else np.int64
    return Adjacency(
        torch.from_numpy(np.concatenate([[0], np.cumsum(degrees)]).astype(index_type)),
        torch.from_numpy(targets[order].astype(index_type)),
        torch.from_numpy(values.astype(np.float32)),
    )


def propagate(embeddings: torch.Tensor, adjacency: Adjacency) -> torch.Tensor:
    """Â times (N, d), with gradients: the backward pass multiplies by Â, which is its own transpose."""
    return _SymmetricProduct.apply(embeddings, adjacency)


class _SymmetricProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        embeddings: torch.Tensor,
        adjacency: Adjacency,
    ) -> torch.Tensor:
        ctx.adjacency = adjacency
        return adjacency.matmul(embeddings)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        return ctx.adjacency.matmul(grads[0].contiguous()), None


def layers(
    embeddings: torch.Tensor, adjacency: Adjacency, num_layers: int, perturb: Perturb | None = None
) -> list[torch.Tensor]:
    """E(0) to E(L), each (N, d), with gradients. A loss that reads a few rows is cheaper by `layer_rows`.

    Args:
        embeddings: (N, d) float32 E(0), never perturbed.
        adjacency: Â.
        num_layers: L ≥ 0.
        perturb: Replaces every E(l), l ≥ 1, before it is propagated further; None leaves them.
    """
    found = [embeddings]
    for _ in range(num_layers):
        layer = propagate(found[-1], adjacency)
        found.append(layer if perturb is None else perturb(layer))
    return found


def layer_sum(embeddings: torch.Tensor, adjacency: Adjacency, num_layers: int) -> torch.Tensor:
    """Σ_{l=0..L} Â^l E(0), without gradients; not yet divided by L + 1.

    Args:
        embeddings: (N, d) float32 E(0); not changed.
        adjacency: Â.
        num_layers: L ≥ 0.

    Returns:
        (N, d) float32; ``embeddings`` itself if L is 0.
    """
    total = embeddings.detach()
    for _ in range(num_layers):
        total = adjacency.matmul(total).add_(embeddings.detach())  # (N, d)
    return total


def layer_mean(embeddings: torch.Tensor, adjacency: Adjacency, num_layers: int) -> torch.Tensor:
    """The mean of E(0) to E(L): (N, d) float32 in new memory, without gradients."""
    return layer_sum(embeddings, adjacency, num_layers) / (num_layers + 1)


class Propagation(torch.nn.Module):
    """Layer means of some rows, with gradients; keeps one (N, d) buffer between steps.

    Args:
        adjacency: Â.
        num_layers: L ≥ 0.
    """

    def __init__(self, adjacency: Adjacency, num_layers: int) -> None:
        super().__init__()
        self.adjacency = adjacency
        self.num_layers = num_layers
        self._buffer: torch.Tensor | None = None

    def rows(self, embeddings: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Propagate all nodes, then gather some.

        Gathering E(0) in the same step saves a dense (N, d) gradient of its own.

        Args:
            embeddings: (N, d) float32 E(0).
            rows: (m,) int64, repeats allowed.

        Returns:
            Two (m, d): the layer mean and E(0) at ``rows``. Both carry gradients.
        """
        means, firsts = _PropagatedRows.apply(embeddings, rows, self)
        return means, firsts

    def scatter(self, rows: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """(N, d) zeros with ``values`` (m, d) added at ``rows``; valid until the next call."""
        shape = (self.adjacency.num_nodes, values.shape[1])
        if self._buffer is None or self._buffer.shape != shape or self._buffer.device != values.device:
            self._buffer = values.new_empty(shape)
        return self._buffer.zero_().index_add_(0, rows, values)


class _PropagatedRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        embeddings: torch.Tensor,
        rows: torch.Tensor,
        propagation: Propagation,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(rows)
        ctx.propagation = propagation
        total = layer_sum(embeddings, propagation.adjacency, propagation.num_layers)  # (N, d)
        means = total.index_select(0, rows).div_(propagation.num_layers + 1)  # (m, d)
        return means, embeddings.index_select(0, rows)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor,
    ) -> tuple[torch.Tensor, None, None]:
        grad_means, grad_firsts = grads  # (m, d) each
        (rows,) = ctx.saved_tensors
        propagation: Propagation = ctx.propagation
        scattered = propagation.scatter(rows, grad_means / (propagation.num_layers + 1))
        total = layer_sum(scattered, propagation.adjacency, propagation.num_layers)  # (N, d)
        if propagation.num_layers == 0:
            total = total.clone()
        return total.index_add_(0, rows, grad_firsts), None, None

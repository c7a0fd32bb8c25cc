"""Means of vectors over a node's neighbours in the training graph, with gradients.

Some of the neighbours may be unknown: the mean is of the others. Letters: U users, I items, n nodes of one
side, n' nodes of the other, d dimensions.
"""

from typing import Any

import numpy as np
import torch

from recommender.data import IntArray, TrainingData
from recommender.graph.propagation import Adjacency


class NeighbourMeans(torch.nn.Module):
    """Both directions of the graph of users and items, every edge with weight 1.

    Args:
        data: Its training pairs are the edges.
    """

    def __init__(self, data: TrainingData) -> None:
        super().__init__()
        by_item = np.lexsort((data.train_users, data.train_items))
        ends = np.concatenate([[0], np.cumsum(data.item_degrees)])
        self.of_users = _compressed(data.seen.indptr, data.train_items)  # (U, I)
        self.of_items = _compressed(ends, data.train_users[by_item])  # (I, U)

    def forward(self, side: int, vectors: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Means over the known neighbours of every node of one side.

        Args:
            side: 0 for means of users, 1 for means of items.
            vectors: (n', d) of the other side.
            known: (n',) bool: which of them count.

        Returns:
            (n, d), zeros where no neighbour is known. Gradients reach ``vectors``.
        """
        rows, transposed = (self.of_users, self.of_items)[:: 1 if side == 0 else -1]
        if bool(known.all()):
            counts, counted = rows.indptr.diff().unsqueeze(1), vectors  # (n, 1)
        else:
            counts = rows.matmul(known.to(vectors.dtype).unsqueeze(1))
            counted = vectors * known.unsqueeze(1)
        return _Sums.apply(counted, rows, transposed) / counts.clamp(min=1)

    def reached(self, side: int, known: torch.Tensor) -> torch.Tensor:
        """(n,) bool: nodes of one side with a neighbour that is ``known`` (n',)."""
        rows = self.of_users if side == 0 else self.of_items
        return rows.matmul(known.to(rows.values.dtype).unsqueeze(1)).squeeze(1) > 0


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        vectors: torch.Tensor,
        rows: Adjacency,
        transposed: Adjacency,
    ) -> torch.Tensor:
        ctx.transposed = transposed
        return rows.matmul(vectors.contiguous())

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor,
    ) -> tuple[torch.Tensor, None, None]:
        return ctx.transposed.matmul(grads[0].contiguous()), None, None


def _compressed(indptr: IntArray, columns: IntArray) -> Adjacency:
    return Adjacency(
        torch.from_numpy(indptr.astype(np.int64)),
        torch.from_numpy(columns.astype(np.int64)),
        torch.ones(len(columns)),
    )

"""The mean of the vectors of every user's training items, as one sparse product."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recommender.data import IntArray, TrainingData
from recommender.graph.propagation import Adjacency


class HistoryMean(torch.nn.Module):
    """(U, d) means over histories of (I, d) item vectors. U users, I items, d dimensions.

    Args:
        data: Its training pairs are the histories, each pair once.
    """

    def __init__(self, data: TrainingData) -> None:
        super().__init__()
        shares = 1.0 / np.maximum(data.seen.degrees, 1)[data.train_users]  # (n,)
        by_item = np.lexsort((data.train_users, data.train_items))
        ends = np.concatenate([[0], np.cumsum(data.item_degrees)])
        self.forward_rows = _compressed(data.seen.indptr, data.train_items, shares)
        self.backward_rows = _compressed(ends, data.train_users[by_item], shares[by_item])

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """(U, d) means, with gradients; zeros for a user without items."""
        return _HistoryMean.apply(items, self)


class _HistoryMean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        items: torch.Tensor,
        means: HistoryMean,
    ) -> torch.Tensor:
        ctx.means = means
        return means.forward_rows.matmul(items.contiguous())

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        return ctx.means.backward_rows.matmul(grads[0].contiguous()), None


def _compressed(indptr: IntArray, columns: IntArray, values: npt.NDArray[np.float64]) -> Adjacency:
    return Adjacency(
        torch.from_numpy(indptr.astype(np.int64)),
        torch.from_numpy(columns.astype(np.int64)),
        torch.from_numpy(values.astype(np.float32)),
    )

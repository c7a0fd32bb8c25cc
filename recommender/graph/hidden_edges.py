"""A graph of users and items without the edges of some users, for the length of a step.

A model that learns what comes next, and propagates over the training graph, is asked for items to which its
own graph ties the history. To leave the asking users' edges out makes training like the test, whose items
no edge of the user leads to. Degrees stay as they are. Letters: U users, N nodes, nnz stored entries.
"""

import numpy as np
import torch

from recommender.graph.propagation import Adjacency


class HiddenEdges(torch.nn.Module):
    """Knows whose every edge is.

    Args:
        adjacency: (N, N) Â; users come first.
        num_users: U.
    """

    owners: torch.Tensor

    def __init__(self, adjacency: Adjacency, num_users: int) -> None:
        super().__init__()
        lines = np.repeat(np.arange(adjacency.num_nodes), np.diff(adjacency.indptr.numpy()))
        columns = adjacency.columns.numpy().astype(np.int64)
        owners = torch.from_numpy(np.where(lines < num_users, lines, columns))
        self.register_buffer("owners", owners, persistent=False)  # (nnz,) the user of either direction
        self._num_users = num_users

    def without(self, adjacency: Adjacency, users: torch.Tensor) -> Adjacency:
        """The same entries, those of some users zero.

        Args:
            adjacency: The one it was made for.
            users: (b,) int64.
        """
        kept = adjacency.values.new_ones(self._num_users)
        kept[users] = 0.0
        values = adjacency.values * kept.index_select(0, self.owners)
        return Adjacency(adjacency.indptr, adjacency.columns, values)

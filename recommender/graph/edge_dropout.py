"""Dropout of a symmetric graph's edges: Â stays symmetric, and equal to itself on average."""

import numpy as np
import torch

from recommender.data import IntArray
from recommender.graph.propagation import Adjacency
from recommender.training.random_words import dropout


class EdgeDropout(torch.nn.Module):
    """Graphs with a share p of the edges missing; the others weigh 1/(1 - p) times as much.

    Args:
        adjacency: Â; its entries (v, w) and (w, v) are one edge.
        rate: p in [0, 1).
    """

    edges: torch.Tensor

    def __init__(self, adjacency: Adjacency, rate: float) -> None:
        super().__init__()
        self.adjacency = adjacency
        self._rate = rate
        edges = _edges_of(adjacency) if rate else np.zeros(0, np.int64)
        self._num_edges = int(edges.max(initial=-1)) + 1
        self.register_buffer("edges", torch.from_numpy(edges), persistent=False)  # (nnz,)

    def forward(self, noise: torch.Generator) -> Adjacency:
        """Â without some of its edges, as zeros in place; Â itself if p is 0.

        Args:
            noise: On the graph's device. Every edge takes one draw.
        """
        if not self._rate:
            return self.adjacency
        ones = torch.ones(self._num_edges, device=self.edges.device)
        scales = dropout(ones, self._rate, noise)  # (num_edges,)
        values = self.adjacency.values * scales[self.edges]
        return Adjacency(self.adjacency.indptr, self.adjacency.columns, values)


def _edges_of(adjacency: Adjacency) -> IntArray:
    """(nnz,) int64: the edge that each entry belongs to, counted from 0."""
    num_nodes = adjacency.num_nodes
    rows = np.repeat(np.arange(num_nodes), np.diff(adjacency.indptr.numpy()))
    columns = adjacency.columns.numpy().astype(np.int64)
    keys = np.minimum(rows, columns) * num_nodes + np.maximum(rows, columns)
    return np.unique(keys, return_inverse=True)[1]

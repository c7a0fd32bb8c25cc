"""Sessions as directed graphs, many at once: nodes and edges of all of them stand in one line.

Wu et al., "Session-based Recommendation with Graph Neural Networks", AAAI 2019, section 3.2. Nodes are the
different items of a session. An edge u → v says that v came right after u, and weighs as often as it did;
weights are divided by their sum over the edges that leave u in A_out, or that enter v in A_in.

Letters: b sessions, T events of them, N nodes, E pairs of neighbouring events, d dimensions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recommender.data import IntArray
from recommender.graph.propagation import Adjacency
from recommender.sequence.sequences import Sequences


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Means over the neighbours of every node in one direction: a matrix (N, N) and its transpose."""

    rows: Adjacency
    transposed: Adjacency

    def mean(self, vectors: torch.Tensor) -> torch.Tensor:
        """(N, d) weighted means of (N, d) vectors, with gradients; zero where a node has no neighbour."""
        means: torch.Tensor = _Means.apply(vectors, self)
        return means


@dataclass(frozen=True, slots=True)
class SessionGraphs:
    """Graphs of b sessions.

    Attributes:
        nodes: (N,) int64 items, session after session.
        places: (T,) int64: the node of each event.
        incoming: A_in.
        outgoing: A_out.
    """

    nodes: IntArray
    places: IntArray
    incoming: Neighbours
    outgoing: Neighbours


def session_graphs(sessions: Sequences, device: torch.device) -> SessionGraphs:
    """Graphs of some sessions.

    Cost: sorting T numbers; no loop over sessions, nodes or edges.

    Args:
        sessions: At least one.
        device: Where the matrices go.
    """
    owners = np.repeat(np.arange(len(sessions.lengths)), sessions.lengths)
    num_items = int(sessions.items.max()) + 1
    keys, places = np.unique(owners * num_items + sessions.items, return_inverse=True)
    ends = np.zeros(len(places), np.bool_)
    ends[sessions.newest] = True
    sources, targets = places[~ends], places[~np.roll(ends, 1)]  # (E,) each
    leaving, entering = (np.bincount(side, minlength=len(keys)) for side in (sources, targets))
    by_source, by_target = np.lexsort((targets, sources)), np.lexsort((sources, targets))

    def matrix(order: IntArray, lines: IntArray, columns: IntArray, totals: IntArray) -> Adjacency:
        counts = np.bincount(lines, minlength=len(keys))
        return Adjacency(
            torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
            torch.from_numpy(columns[order]),
            torch.from_numpy((1.0 / totals[order]).astype(np.float32)),
        ).to(device)

    return SessionGraphs(
        nodes=keys % num_items,
        places=places,
        incoming=Neighbours(
            matrix(by_target, targets, sources, entering[targets]),
            matrix(by_source, sources, targets, entering[targets]),
        ),
        outgoing=Neighbours(
            matrix(by_source, sources, targets, leaving[sources]),
            matrix(by_target, targets, sources, leaving[sources]),
        ),
    )


class _Means(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        vectors: torch.Tensor,
        neighbours: Neighbours,
    ) -> torch.Tensor:
        ctx.neighbours = neighbours
        return neighbours.rows.matmul(vectors.contiguous())

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        return ctx.neighbours.transposed.matmul(grads[0].contiguous()), None

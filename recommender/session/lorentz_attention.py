"""Attention between points of hyperbolic space, along the edges of session graphs. Our reconstruction.

HCGR (Guo et al., arXiv 2107.05366) aggregates messages of a session graph by an attention in Lorentz space;
its equations are not known to us, and there is no code. Here what is nearest counts most, as it does in
Gulcehre et al., "Hyperbolic Attention Networks" (ICLR 2019), and what is found is a centroid
(`recommender.session.lorentz.onto`):

    message of u to v: m = exp(W log(x_u)),  W of v itself, of what came before v, or of what came after
    w_m = softmax over all messages to v of -e^θ (-<x_v, m>_L - 1),   x_v ← onto Σ w_m m

The distance stands in the softmax as -<x, y>_L - 1, which grows with it and has a gradient at 0. The readout
of a session whose newest event is n:

    w_i = softmax over its events of -e^θ (-<exp(Q log x_n), exp(K log x_i)>_L - 1)
    s = exp(W [log x_n ‖ log(onto Σ w_i x_i)])

Letters: N nodes, M messages, T events, b sessions, d dimensions.
"""

import numpy as np
import torch

from recommender.graph.propagation import Adjacency
from recommender.sequence.sequences import Sequences
from recommender.session.graphs import SessionGraphs
from recommender.session.lorentz import exp_origin, gaps, log_origin, onto
from recommender.training.first_weights import uniform


class LorentzGraph(torch.nn.Module):
    """Steps of attention, all with the same weights.

    Args:
        dim: d.
        num_steps: Steps, at least one.
        generator: Of the first weights: uniform within ±1/√d.
    """

    def __init__(self, dim: int, num_steps: int, generator: torch.Generator) -> None:
        super().__init__()
        self._num_steps = num_steps
        self.own = _map(dim, dim, generator)
        self.incoming = _map(dim, dim, generator)
        self.outgoing = _map(dim, dim, generator)
        self.sharpness = torch.nn.Parameter(torch.zeros(()))  # θ

    def forward(self, points: torch.Tensor, graphs: SessionGraphs) -> torch.Tensor:
        """(N, d + 1) nodes after all steps.

        Args:
            points: (N, d + 1) before.
            graphs: Their neighbours.
        """
        every = torch.arange(len(points), device=points.device)
        edges = [(every, every), _edges(graphs.incoming.rows), _edges(graphs.outgoing.rows)]
        nodes = torch.cat([of for of, _ in edges])  # (M,)
        for _ in range(self._num_steps):
            tangents = log_origin(points)
            maps = (self.own, self.incoming, self.outgoing)
            sent = [
                exp_origin(each(tangents)).index_select(0, to)
                for each, (_, to) in zip(maps, edges, strict=True)
            ]
            messages = torch.cat(sent)  # (M, d + 1)
            logits = -self.sharpness.exp() * gaps(points.index_select(0, nodes), messages)
            points = attend(logits, messages, nodes, len(points))
        return points


class LorentzReadout(torch.nn.Module):
    """What a session as a whole says, seen from its newest event.

    Args:
        dim: d.
        generator: Of the first weights: uniform within ±1/√d.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.asked = _map(dim, dim, generator)  # Q
        self.offered = _map(dim, dim, generator)  # K
        self.sharpness = torch.nn.Parameter(torch.zeros(()))  # θ
        self.both = _map(2 * dim, dim, generator)  # W

    def forward(self, events: torch.Tensor, sessions: Sequences) -> torch.Tensor:
        """(b, d + 1) sessions.

        Args:
            events: (T, d + 1) the nodes of events, in the order of ``sessions``.
            sessions: Whose lengths count.
        """
        count = len(sessions.lengths)
        lines = torch.from_numpy(np.repeat(np.arange(count), sessions.lengths)).to(events.device)
        tangents = log_origin(events)
        newest = tangents.index_select(0, torch.from_numpy(sessions.newest).to(events.device))  # (b, d)
        asked = exp_origin(self.asked(newest)).index_select(0, lines)
        offered = exp_origin(self.offered(tangents))
        found = attend(-self.sharpness.exp() * gaps(asked, offered), events, lines, count)  # (b, d + 1)
        return exp_origin(self.both(torch.cat([newest, log_origin(found)], dim=1)))


def attend(logits: torch.Tensor, values: torch.Tensor, lines: torch.Tensor, num_lines: int) -> torch.Tensor:
    """Centroids of points, weighed by a softmax over those of each line.

    Args:
        logits: (M,).
        values: (M, d + 1) points.
        lines: (M,) int64: which centroid each is part of; every one has a part.
        num_lines: How many centroids.

    Returns:
        (num_lines, d + 1) points.
    """
    logits, values = logits.float(), values.float()  # sums over lines, which bfloat16 is too coarse for
    largest = logits.new_full((num_lines,), -torch.inf).scatter_reduce(0, lines, logits.detach(), "amax")
    powers = (logits - largest.index_select(0, lines)).exp()
    sums = powers.new_zeros(num_lines).index_add(0, lines, powers)
    shares = powers / sums.index_select(0, lines)
    total = values.new_zeros(num_lines, values.shape[1])
    return onto(total.index_add(0, lines, shares.unsqueeze(1) * values))


def _edges(rows: Adjacency) -> tuple[torch.Tensor, torch.Tensor]:
    """(E,) the node that each entry of the rows is read by, and (E,) the one it reads."""
    nodes = torch.arange(rows.num_nodes, device=rows.indptr.device)
    return nodes.repeat_interleave(rows.indptr.diff()), rows.columns


def _map(input_dim: int, output_dim: int, generator: torch.Generator) -> torch.nn.Linear:
    layer = torch.nn.Linear(input_dim, output_dim, bias=False, device="meta")
    return uniform(layer, input_dim**-0.5, generator)

"""The gated graph network of SR-GNN, which GC-SAN and NISER have too, and its attentive readout.

Wu et al., "Session-based Recommendation with Graph Neural Networks", AAAI 2019. One step, of all nodes:

    a = [A_in (V H_in + b_in) ‖ A_out (V H_out + b_out)]                    eq. 1
    z = sigmoid(W_z a + U_z v + b_z),  r = sigmoid(W_r a + U_r v + b_r)     eq. 2-3
    ṽ = tanh(W_o a + b_o + r ∘ (U_o v + c_o)),   v ← (1 - z) ∘ ṽ + z ∘ v    eq. 4-5

As in the authors' code, r is taken after U_o, and z is what is kept (in the paper, what is renewed). Another
bias of a (eq. 1) would be one with those of W. The readout of a session whose newest event is n:

    s = W_3 [v_n ‖ Σ_i w_i v_i],   w_i = <q, sigmoid(W_1 v_n + W_2 v_i + c)>    eq. 6-7, i over its events

Letters: N nodes, T events, b sessions, d embedding_dim.
"""

import torch

from recommender.sequence.additive_attention import additive_attention
from recommender.sequence.sequences import Sequences
from recommender.session.graphs import SessionGraphs
from recommender.training.first_weights import uniform


class GatedGraph(torch.nn.Module):
    """Steps of the gated network, all with the same weights.

    Args:
        dim: d.
        num_steps: Steps, at least one.
        generator: Of the first weights: uniform within ±1/√d.
    """

    def __init__(self, dim: int, num_steps: int, generator: torch.Generator) -> None:
        super().__init__()
        self._num_steps = num_steps
        bound = dim**-0.5
        self.incoming = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)
        self.outgoing = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)
        self.gates = uniform(torch.nn.GRUCell(2 * dim, dim, device="meta"), bound, generator)

    def forward(self, nodes: torch.Tensor, graphs: SessionGraphs) -> torch.Tensor:
        """(N, d) nodes after all steps.

        Args:
            nodes: (N, d) before.
            graphs: Their neighbours.
        """
        for _ in range(self._num_steps):
            before = graphs.incoming.mean(self.incoming(nodes))
            after = graphs.outgoing.mean(self.outgoing(nodes))
            nodes = self.gates(torch.cat([before, after], dim=1), nodes)
        return nodes


class AttentiveReadout(torch.nn.Module):
    """What a session as a whole says, seen from its newest event.

    Args:
        dim: d.
        generator: Of the first weights: uniform within ±1/√d.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = dim**-0.5
        self.asked = uniform(torch.nn.Linear(dim, dim, bias=False, device="meta"), bound, generator)  # W_1
        self.offered = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)  # W_2 and c
        weight = (2 * torch.rand(dim, generator=generator) - 1) * bound
        self.weight = torch.nn.Parameter(weight)  # (d,) q
        self.both = uniform(torch.nn.Linear(2 * dim, dim, bias=False, device="meta"), bound, generator)  # W_3

    def forward(self, events: torch.Tensor, sessions: Sequences) -> torch.Tensor:
        """(b, d) sessions.

        Args:
            events: (T, d) the nodes of events, in the order of ``sessions``.
            sessions: Whose lengths count.
        """
        offered = self.offered(events)
        newest: list[torch.Tensor] = []
        found: list[torch.Tensor] = []
        sizes = [count * length for count, length in sessions.blocks]
        parts = zip(events.split(sizes), offered.split(sizes), sessions.blocks, strict=True)
        for values, keys, block in parts:
            values, keys = values.view(*block, -1), keys.view(*block, -1)  # noqa: PLW2901 - (r, L, d) each
            last = values[:, -1:]  # (r, 1, d)
            newest.append(last[:, 0])
            found.append(additive_attention(self.asked(last), keys, self.weight, values)[:, 0])
        return self.both(torch.cat([torch.cat(newest), torch.cat(found)], dim=1))

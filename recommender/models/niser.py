"""NISER+: SR-GNN with item and session vectors of length 1, positions, and dropout.

Gupta et al., "NISER: Normalized Item and Session Representations to Handle Popularity Bias", 2019
(arXiv 1909.04276). Inner products favour popular items, whose vectors grow long; cosines do not. Letters: E
(I, d) item vectors, Ẽ_i = E_i / ‖E_i‖, p_a the vector of age a (0: the newest event).

    v = dropout(Ẽ[nodes]),  v ← GatedGraph(v, A_in, A_out) in each of L steps     `session.gated_graph`
    x_i = v_i + p_age(i) of every event,  s = W_3 [x_n ‖ Σ_i w_i x_i],  s̃ = s / ‖s‖
    score(session, i) = <s̃, Ẽ_i>,   loss: softmax of 16 · score

16 is 1 / temperature. Positions are the "+" of the name, with dropout; where they are added is not beyond
doubt: here to events, after the graph, which knows items but no places. They count from the newest (ours).
"""

import torch
from pydantic import Field

from recommender.sequence.causal_attention import drop
from recommender.sequence.network import SessionConfig, session_model
from recommender.sequence.sequences import Sequences
from recommender.session.gated_graph import AttentiveReadout, GatedGraph
from recommender.session.graphs import session_graphs
from recommender.session.prefixes import PrefixEncoder


class Config(SessionConfig):
    """Settings of NISER+."""

    temperature: float | None = Field(
        default=0.0625, gt=0, description="τ of cosine scores, 1/16 in the paper; none for inner products."
    )
    num_layers: int = Field(default=1, ge=1, description="Steps L of the gated network.")


class Reader(torch.nn.Module):
    """One state of each session, not yet of length 1. b sessions, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self._dropout = config.dropout
        self.graph = GatedGraph(config.embedding_dim, config.num_layers, generator)
        self.readout = AttentiveReadout(config.embedding_dim, generator)
        ages = torch.randn(config.max_length, config.embedding_dim, generator=generator) * config.init_std
        self.ages = torch.nn.Parameter(ages)

    def forward(
        self, items: torch.Tensor, sessions: Sequences, noise: torch.Generator | None
    ) -> torch.Tensor:
        """(b, d) states; see `recommender.session.prefixes.Reader`. ``items`` are of length 1."""
        graphs = session_graphs(sessions, items.device)
        nodes = items.index_select(0, torch.from_numpy(graphs.nodes).to(items.device))
        nodes = self.graph(drop(nodes, self._dropout, noise), graphs)  # (N, d)
        events = nodes.index_select(0, torch.from_numpy(graphs.places).to(items.device))
        ages = torch.from_numpy(sessions.ages).to(items.device)
        return self.readout(events + self.ages.index_select(0, ages), sessions)


def new_encoder(config: Config, generator: torch.Generator) -> PrefixEncoder:
    """What reads sessions, with first weights of a generator."""
    return PrefixEncoder(Reader(config, generator), config.max_length)


Model = session_model("niser", new_encoder)

"""SR-GNN: a gated network over the graph of a session, read from its newest click.

Wu et al., "Session-based Recommendation with Graph Neural Networks", AAAI 2019. Letters: E (I, d) item
vectors; N nodes of session graphs (`recommender.session.graphs`).

    v = dropout(E[nodes]),  v ← GatedGraph(v, A_in, A_out) in each of L steps      `session.gated_graph`
    s = W_3 [v_n ‖ Σ_i w_i v_i],   score(session, i) = <s, E_i>                    eq. 6-8

Every prefix of a session is a graph of its own (`recommender.session.prefixes`). Edges weigh as often as they
were taken, as in the paper; its code counts each once. Dropout is ours.
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
    """Settings of SR-GNN."""

    num_layers: int = Field(default=1, ge=1, description="Steps L of the gated network.")


class Reader(torch.nn.Module):
    """One state of each session. b sessions, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self._dropout = config.dropout
        self.graph = GatedGraph(config.embedding_dim, config.num_layers, generator)
        self.readout = AttentiveReadout(config.embedding_dim, generator)

    def forward(
        self, items: torch.Tensor, sessions: Sequences, noise: torch.Generator | None
    ) -> torch.Tensor:
        """(b, d) states; see `recommender.session.prefixes.Reader`."""
        graphs = session_graphs(sessions, items.device)
        nodes = items.index_select(0, torch.from_numpy(graphs.nodes).to(items.device))
        nodes = self.graph(drop(nodes, self._dropout, noise), graphs)  # (N, d)
        events = nodes.index_select(0, torch.from_numpy(graphs.places).to(items.device))
        return self.readout(events, sessions)


def new_encoder(config: Config, generator: torch.Generator) -> PrefixEncoder:
    """What reads sessions, with first weights of a generator."""
    return PrefixEncoder(Reader(config, generator), config.max_length)


Model = session_model("srgnn", new_encoder)

"""GC-SAN: the graph network of SR-GNN, then self-attention among the events of a session.

Xu et al., "Graph Contextualized Self-Attention Network for Session-based Recommendation", IJCAI 2019.
Letters: E (I, d) item vectors; H (L, d) the nodes of a session's events, n the newest; K blocks.

    v = dropout(E[nodes]),  v ← GatedGraph(v, A_in, A_out)        `recommender.session.gated_graph`
    F = softmax(H Q (H K)ᵀ / √d) H V
    H ← F + W_2 relu(W_1 F + b_1) + b_2, with dropout of what is added to F    K blocks
    s = ω H_n + (1 - ω) v_n,   score(session, i) = <s, E_i>

There is no residual around the attention and no layer norm, as in the paper. The last block is computed for
the newest event only, nothing else of it is read. Every prefix of a session is read on its own.
"""

import torch
from pydantic import Field
from torch.nn.functional import relu, scaled_dot_product_attention

from recommender.sequence.causal_attention import drop
from recommender.sequence.network import SessionConfig, session_model
from recommender.sequence.sequences import Sequences
from recommender.session.gated_graph import GatedGraph
from recommender.session.graphs import session_graphs
from recommender.session.prefixes import PrefixEncoder
from recommender.training.first_weights import uniform


class Config(SessionConfig):
    """Settings of GC-SAN."""

    num_layers: int = Field(default=1, ge=1, description="Steps of the gated network.")
    num_blocks: int = Field(default=1, ge=1, description="Blocks K of self-attention.")
    attention_weight: float = Field(
        default=0.6, ge=0, le=1, description="ω: how much attention counts beside the newest node."
    )


class Block(torch.nn.Module):
    """Self-attention, then a feed-forward net. r sessions of one length L, m of whose events ask.

    Args:
        dim: d.
        dropout_rate: Chance of a value of what is added to F to be dropped.
        generator: Of the first weights.
    """

    def __init__(self, dim: int, dropout_rate: float, generator: torch.Generator) -> None:
        super().__init__()
        bound = dim**-0.5
        self._dropout_rate = dropout_rate
        self.query = uniform(torch.nn.Linear(dim, dim, bias=False, device="meta"), bound, generator)
        self.key_value = uniform(torch.nn.Linear(dim, 2 * dim, bias=False, device="meta"), bound, generator)
        self.widen = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)  # W_1
        self.narrow = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)  # W_2

    def forward(
        self, asked: torch.Tensor, events: torch.Tensor, noise: torch.Generator | None
    ) -> torch.Tensor:
        """(r, m, d) events that ask, after the block.

        Args:
            asked: (r, m, d) those events.
            events: (r, L, d) all events.
            noise: Source of dropout; None for no dropout.
        """
        keys, values = self.key_value(events).chunk(2, dim=2)
        found = scaled_dot_product_attention(self.query(asked), keys, values)
        return found + drop(self.narrow(relu(self.widen(found))), self._dropout_rate, noise)


class Reader(torch.nn.Module):
    """One state of each session. b sessions, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self._config = config
        self.graph = GatedGraph(config.embedding_dim, config.num_layers, generator)
        self.blocks = torch.nn.ModuleList(
            Block(config.embedding_dim, config.dropout, generator) for _ in range(config.num_blocks)
        )

    def forward(
        self, items: torch.Tensor, sessions: Sequences, noise: torch.Generator | None
    ) -> torch.Tensor:
        """(b, d) states; see `recommender.session.prefixes.Reader`."""
        graphs = session_graphs(sessions, items.device)
        nodes = items.index_select(0, torch.from_numpy(graphs.nodes).to(items.device))
        nodes = self.graph(drop(nodes, self._config.dropout, noise), graphs)  # (N, d)
        events = nodes.index_select(0, torch.from_numpy(graphs.places).to(items.device))
        blocks = sessions.blocks
        parts = zip(events.split([count * length for count, length in blocks]), blocks, strict=True)
        return torch.cat([self._state(part.view(*block, -1), noise) for part, block in parts])

    def _state(self, events: torch.Tensor, noise: torch.Generator | None) -> torch.Tensor:
        """(r, d) s of (r, L, d) events."""
        weight, newest = self._config.attention_weight, events[:, -1]  # (r, d)
        *before, last = self.blocks
        for block in before:
            events = block(events, events, noise)
        attended = last(events[:, -1:], events, noise)[:, 0]
        return weight * attended + (1 - weight) * newest


def new_encoder(config: Config, generator: torch.Generator) -> PrefixEncoder:
    """What reads sessions, with first weights of a generator."""
    return PrefixEncoder(Reader(config, generator), config.max_length)


Model = session_model("gcsan", new_encoder)

"""GRU4Rec: a gated recurrent unit over the clicks of a session.

Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016. Letters: E (I, d)
item vectors, v_t the item of event t, h hidden dimensions.

    h_t = GRU(h_{t-1}, dropout(E[v_t])),  L layers of it: `recommender.sequence.recurrent`
    s_t = W h_t,   score(session, i) = <s_newest, E_i>

The paper ranks with a table of its own and learns by pairwise losses (BPR, TOP1) over the other sessions of
a batch. One table for both, hence W, and the softmax over the catalogue are what later studies take: how much
hangs on the loss is told by Petrov and Macdonald, "A Systematic Review and Replicability Study of BERT4Rec",
RecSys 2022, and the official port. Sessions stand in a batch as a whole, not step by step beside each other.
"""

import torch
from pydantic import Field

from recommender.sequence.causal_attention import drop
from recommender.sequence.network import SessionConfig, session_model
from recommender.sequence.recurrent import Recurrent
from recommender.sequence.sequences import Sequences
from recommender.training.first_weights import uniform


class Config(SessionConfig):
    """Settings of GRU4Rec."""

    hidden_dim: int = Field(default=64, ge=1, description="Dimensions h of the recurrent state.")
    num_layers: int = Field(default=1, ge=1, description="Layers L.")


class Encoder(torch.nn.Module):
    """What reads sessions. T events, d embedding_dim, h hidden_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self.max_length = config.max_length
        self._dropout = config.dropout
        inputs = [config.embedding_dim, *[config.hidden_dim] * (config.num_layers - 1)]
        self.layers = torch.nn.ModuleList(Recurrent(dim, config.hidden_dim, generator) for dim in inputs)
        turned = torch.nn.Linear(config.hidden_dim, config.embedding_dim, bias=False, device="meta")
        self.turned = uniform(turned, config.hidden_dim**-0.5, generator)  # W

    def forward(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        """(T, d) states, each knowing its session up to its event.

        Args:
            items: (I, d) item vectors.
            sequences: Sessions of at most ``max_length`` events.
            noise: Source of dropout; None for no dropout.
        """
        rows = torch.from_numpy(sequences.items).to(items.device)
        states = items.index_select(0, rows)
        for layer in self.layers:
            states = layer(drop(states, self._dropout, noise), sequences)
        return self.turned(states)


Model = session_model("gru4rec", Encoder)

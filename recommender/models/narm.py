"""NARM: a recurrent encoder, whose newest state looks back at all others.

Li et al., "Neural Attentive Session-based Recommendation", CIKM 2017. Letters: E (I, d) item vectors, v_t the
item of event t, h hidden dimensions.

    h_t = GRU(h_{t-1}, dropout(E[v_t]))        `recommender.sequence.recurrent`
    c_t = Σ_{j ≤ t} w_tj h_j,  w_tj = <q, sigmoid(A_1 h_t + A_2 h_j)>
    s_t = B dropout([h_t ‖ c_t]),   score(session, i) = <s_newest, E_i>

The weights w are not normalised, as in the paper. Dropout of item vectors is 0.3 here, as in all models of
sessions (the paper: 0.25), that before B is the paper's.
"""

import torch
from pydantic import Field

from recommender.sequence.additive_attention import additive_attention
from recommender.sequence.causal_attention import drop
from recommender.sequence.network import SessionConfig, session_model
from recommender.sequence.recurrent import Recurrent
from recommender.sequence.sequences import Sequences
from recommender.training.first_weights import uniform


class Config(SessionConfig):
    """Settings of NARM."""

    hidden_dim: int = Field(default=64, ge=1, description="Dimensions h of the recurrent state.")
    state_dropout: float = Field(
        default=0.5, ge=0, lt=1, description="Chance of a value before B to be dropped."
    )


class Encoder(torch.nn.Module):
    """What reads sessions. T events, r sessions of one length L, d embedding_dim, h hidden_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        dim, bound = config.hidden_dim, config.hidden_dim**-0.5
        self.max_length = config.max_length
        self._config = config
        self.recurrent = Recurrent(config.embedding_dim, dim, generator)
        self.asked = uniform(torch.nn.Linear(dim, dim, bias=False, device="meta"), bound, generator)  # A_1
        self.offered = uniform(torch.nn.Linear(dim, dim, bias=False, device="meta"), bound, generator)  # A_2
        self.weight = torch.nn.Parameter((2 * torch.rand(dim, generator=generator) - 1) * bound)  # (h,) q
        turned = torch.nn.Linear(2 * dim, config.embedding_dim, bias=False, device="meta")
        self.turned = uniform(turned, bound, generator)  # B

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
        events = drop(items.index_select(0, rows), self._config.dropout, noise)
        states = self.recurrent(events, sequences)  # (T, h)
        both = torch.cat([states, self._local(states, sequences)], dim=1)
        return self.turned(drop(both, self._config.state_dropout, noise))

    def _local(self, states: torch.Tensor, sequences: Sequences) -> torch.Tensor:
        """(T, h) c."""
        blocks = sequences.blocks
        sizes = [count * length for count, length in blocks]
        lines = (values.split(sizes) for values in (self.asked(states), self.offered(states), states))
        found = [
            additive_attention(a.view(*block, -1), o.view(*block, -1), self.weight, h.view(*block, -1))
            for a, o, h, block in zip(*lines, blocks, strict=True)
        ]
        return torch.cat([each.flatten(0, 1) for each in found])


Model = session_model("narm", Encoder)

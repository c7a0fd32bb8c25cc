"""STAMP: attention to the clicks of a session, with a say of the newest one, and no recurrence.

Liu et al., "STAMP: Short-Term Attention/Memory Priority Model for Session-based Recommendation", KDD 2018.
Letters: x_j = dropout(E[v_j]) the vector of event j, E (I, d) item vectors.

    m_t = 1/t Σ_{j ≤ t} x_j
    a_t = Σ_{j ≤ t} w_tj x_j,  w_tj = <q, sigmoid(W_1 x_j + W_2 x_t + W_3 m_t + b)>
    h_s = tanh(W_s a_t + b_s),  h_t = tanh(W_t x_t + b_t)
    score(session, i) = <h_s ∘ h_t, E_i>      the trilinear product

The paper puts a logistic function around the score before the softmax, which keeps a softmax over thousands
of items from ever being sure; it is left out here, as re-implementations do. Dropout is ours.
"""

import torch

from recommender.sequence.additive_attention import additive_attention
from recommender.sequence.causal_attention import drop
from recommender.sequence.network import SessionConfig, session_model
from recommender.sequence.sequences import Sequences
from recommender.training.first_weights import uniform


class Config(SessionConfig):
    """Settings of STAMP."""


class Encoder(torch.nn.Module):
    """What reads sessions. T events, r sessions of one length L, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        dim, bound = config.embedding_dim, config.embedding_dim**-0.5
        self.max_length = config.max_length
        self._dropout = config.dropout
        self.offered = uniform(torch.nn.Linear(dim, dim, bias=False, device="meta"), bound, generator)  # W_1
        self.newest = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)  # W_2 and b
        self.general = uniform(torch.nn.Linear(dim, dim, bias=False, device="meta"), bound, generator)  # W_3
        self.weight = torch.nn.Parameter((2 * torch.rand(dim, generator=generator) - 1) * bound)  # (d,) q
        self.session = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)  # W_s
        self.click = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)  # W_t

    def forward(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        """(T, d) states h_s ∘ h_t, each knowing its session up to its event.

        Args:
            items: (I, d) item vectors.
            sequences: Sessions of at most ``max_length`` events.
            noise: Source of dropout; None for no dropout.
        """
        rows = torch.from_numpy(sequences.items).to(items.device)
        events = drop(items.index_select(0, rows), self._dropout, noise)  # (T, d) x
        blocks = sequences.blocks
        parts = zip(events.split([count * length for count, length in blocks]), blocks, strict=True)
        memory = torch.cat([self._memory(part.view(*block, -1)).flatten(0, 1) for part, block in parts])
        return torch.tanh(self.session(memory)) * torch.tanh(self.click(events))

    def _memory(self, events: torch.Tensor) -> torch.Tensor:
        """(r, L, d) a of (r, L, d) events."""
        counts = torch.arange(1, events.shape[1] + 1, device=events.device).unsqueeze(1)  # (L, 1)
        asked = self.newest(events) + self.general(events.cumsum(dim=1) / counts)
        return additive_attention(asked, self.offered(events), self.weight, events)


Model = session_model("stamp", Encoder)

"""HGN: gates say what of the newest items counts, in every dimension and item by item.

Ma, Kang and Liu, "Hierarchical Gating Networks for Sequential Recommendation", KDD 2019. Letters: S (L, d)
vectors E of the newest L items, S_a that of age a (0: the newest); v_u the vector of user u; Q (I, d) what
items are ranked by; ∘ the product of entries.

    F_a = S_a ∘ sigmoid(W_1 S_a + W_2 v_u + b)              feature gating
    x_a = F_a · sigmoid(<w_3, F_a> + <W_4,a, v_u>)          instance gating; W_4 (L, d)
    score(u, history, i) = <v_u + mean_a x_a + Σ_a S_a, Q_i>

The mean is over the items that there are, at most L (the paper has the largest value as another choice). The
paper learns by BPR (``objective=bpr``); the softmax over the catalogue is ours, as in all sequential models,
and so are ages (the paper counts places from the oldest) and the dropout of S. Every event has one target; in
the paper a window predicts several items that come next, as in Caser's. Texts join E and Q.
"""

from functools import partial

import torch
from torch.nn.functional import normalize

from recommender.sequence.causal_attention import drop
from recommender.sequence.sequences import Sequences
from recommender.sequence.user_model import UserSequenceModel
from recommender.sequence.windows import WindowConfig, window_events
from recommender.training.first_weights import uniform


class Config(WindowConfig):
    """Settings of HGN."""


class Encoder(torch.nn.Module):
    """v_u + mean x + Σ S of every event. T events, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        dim, bound = config.embedding_dim, config.embedding_dim**-0.5
        self.max_length = config.max_length
        self.num_tables = 2  # Q is ranked by, E is read
        self._config = config
        self.of_items = uniform(torch.nn.Linear(dim, dim, bias=False, device="meta"), bound, generator)  # W_1
        self.of_users = uniform(torch.nn.Linear(dim, dim, device="meta"), bound, generator)  # W_2 and b
        self.instance = uniform(torch.nn.Linear(dim, 1, bias=False, device="meta"), bound, generator)  # w_3
        by_age = torch.nn.Linear(dim, config.window, bias=False, device="meta")
        self.by_age = uniform(by_age, bound, generator)  # W_4, the newest first

    def forward(
        self,
        items: torch.Tensor,
        sequences: Sequences,
        users: torch.Tensor,
        noise: torch.Generator | None = None,
    ) -> torch.Tensor:
        """(T, d) states; see `recommender.sequence.user_network.UserEncoder`.

        Args:
            items: (I, 2 d): Q, E.
            sequences: Histories.
            users: (T, d) v of whose event each is.
            noise: Source of dropout; None for no dropout.
        """
        read = items[:, -users.shape[1] :]
        events, known = window_events(read, sequences, self._config.window)  # (T, L, d), (T, L)
        events = drop(events, self._config.dropout, noise)
        features = torch.sigmoid(self.of_items(events) + self.of_users(users).unsqueeze(1)) * events
        wanted = self.instance(features).squeeze(2) + self.by_age(users).flip(1)  # (T, L)
        gated = torch.sigmoid(wanted).unsqueeze(2) * features  # zero where there is no event
        mean = gated.sum(dim=1) / known.sum(dim=1, keepdim=True)
        states = users + mean + events.sum(dim=1)
        return states if self._config.temperature is None else normalize(states, dim=1)


Model = partial(UserSequenceModel, "hgn", Encoder)

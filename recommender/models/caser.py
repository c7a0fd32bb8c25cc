"""Caser: convolutions over the newest items as over a picture, beside a vector of the user.

Tang and Wang, "Personalized Top-N Sequential Recommendation via Convolutional Sequence Embedding", WSDM 2018.
Letters: S (L, d) vectors E of the newest L items, oldest first, zero before a history began; P_u the vector
of user u; W' = [W'_z ‖ W'_u] (I, 2 d) what items are ranked by.

    o = [max over places of relu(F_k · S[place : place + h] + b_k)] for n filters F_k of each height h ≤ L
                                                                    eq. 2-5, horizontal
    õ = [Σ_l F̃_k,l S_l] for ñ filters of height L                   eq. 6-8, vertical
    z = relu(W dropout([o ‖ õ]) + b)                                eq. 9
    score(u, history, i) = <[z ‖ P_u], W'_i>                        eq. 10, without its bias of items

The paper learns by binary cross-entropy with three negatives (``objective=bce``, ``num_negatives=3``), and to
predict the next T items; here every event predicts one, by the softmax over the catalogue that all sequential
models have (ours). The dropout of P_u is ours, too. Texts join E, W'_z and W'_u. L, n and ñ are among the
values that the paper tries.
"""

from functools import partial

import torch
from pydantic import Field
from torch.nn.functional import normalize, relu

from recommender.sequence.causal_attention import drop
from recommender.sequence.sequences import Sequences
from recommender.sequence.user_model import UserSequenceModel
from recommender.sequence.windows import WindowConfig, window_events
from recommender.training.first_weights import uniform


class Config(WindowConfig):
    """Settings of Caser."""

    dropout: float = Field(
        default=0.5, ge=0, lt=1, description="Chance of a value of [o ‖ õ] and of P_u to be dropped."
    )
    num_horizontal: int = Field(default=16, ge=1, description="Horizontal filters n of each height.")
    num_vertical: int = Field(default=4, ge=1, description="Vertical filters ñ.")


class Encoder(torch.nn.Module):
    """[z ‖ P_u] of every event. T events, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        dim, length = config.embedding_dim, config.window
        self.max_length = config.max_length
        self.num_tables = 3  # W'_z and W'_u are ranked by, E is read
        self._config = config
        self.horizontal = torch.nn.ModuleList(
            uniform(
                torch.nn.Conv1d(dim, config.num_horizontal, height, device="meta"),
                (dim * height) ** -0.5,
                generator,
            )
            for height in range(1, length + 1)
        )  # F, b
        vertical = torch.nn.Linear(length, config.num_vertical, bias=False, device="meta")
        self.vertical = uniform(vertical, length**-0.5, generator)  # F̃
        width = config.num_horizontal * length + config.num_vertical * dim
        self.turned = uniform(torch.nn.Linear(width, dim, device="meta"), width**-0.5, generator)  # W, b

    def forward(
        self,
        items: torch.Tensor,
        sequences: Sequences,
        users: torch.Tensor,
        noise: torch.Generator | None = None,
    ) -> torch.Tensor:
        """(T, 2 d) states; see `recommender.sequence.user_network.UserEncoder`.

        Args:
            items: (I, 3 d): W'_z, W'_u, E.
            sequences: Histories.
            users: (T, d) P of whose event each is.
            noise: Source of dropout; None for no dropout.
        """
        read = items[:, -users.shape[1] :]
        events, _ = window_events(read, sequences, self._config.window)  # (T, L, d) S
        columns = events.transpose(1, 2)  # (T, d, L)
        across = [relu(filters(columns)).amax(dim=2) for filters in self.horizontal]  # (T, n) each
        down = self.vertical(columns).flatten(1)  # (T, d · ñ)
        found = drop(torch.cat([*across, down], dim=1), self._config.dropout, noise)
        states = torch.cat([relu(self.turned(found)), drop(users, self._config.dropout, noise)], dim=1)
        return states if self._config.temperature is None else normalize(states, dim=1)


Model = partial(UserSequenceModel, "caser", Encoder)

"""FPMC: what a user likes, and what follows the newest item, each factorised.

Rendle, Freudenthaler and Schmidt-Thieme, "Factorizing Personalized Markov Chains for Next-Basket
Recommendation", WWW 2010, for baskets of one item. Letters: v_u the vector of user u, s the newest item; IU,
IL and LI (I, d) tables of items.

    score(u, s, i) = <v_u, IU_i> + <LI_s, IL_i>        the term of u and s, which ranks nothing, is left out
                   = <[v_u ‖ LI_s], [IU_i ‖ IL_i]>

The paper learns by S-BPR (``objective=bpr``); the default here is the softmax over the catalogue that all
sequential models have. Texts join each of the three tables. Dropout of both halves of a state is ours.
"""

from functools import partial

import torch
from torch.nn.functional import normalize

from recommender.sequence.causal_attention import drop
from recommender.sequence.sequences import Sequences
from recommender.sequence.user_model import UserSequenceModel
from recommender.sequence.user_network import UserSequenceConfig


class Config(UserSequenceConfig):
    """Settings of FPMC."""


class Encoder(torch.nn.Module):
    """[v_u ‖ LI_s] of every event s; it has no weights. T events, d embedding_dim.

    Args:
        config: Settings.
        generator: Of no first weight.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        del generator
        self.max_length = config.max_length
        self.num_tables = 3  # IU and IL are ranked by, LI is read
        self._config = config

    def forward(
        self,
        items: torch.Tensor,
        sequences: Sequences,
        users: torch.Tensor,
        noise: torch.Generator | None = None,
    ) -> torch.Tensor:
        """(T, 2 d) states; see `recommender.sequence.user_network.UserEncoder`.

        Args:
            items: (I, 3 d): IU, IL, LI.
            sequences: Histories.
            users: (T, d) v of whose event each is.
            noise: Source of dropout; None for no dropout.
        """
        rows = torch.from_numpy(sequences.items).to(items.device)
        follows = items[:, -users.shape[1] :].index_select(0, rows)  # (T, d)
        states = drop(torch.cat([users, follows], dim=1), self._config.dropout, noise)
        return states if self._config.temperature is None else normalize(states, dim=1)


Model = partial(UserSequenceModel, "fpmc", Encoder)

"""BPR-MF: matrix factorisation that ranks what a user had above what the user had not.

Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, section 4.3.1:

    E = `recommender.text.layer_zero`         ID embeddings N(0, s²), s = init_std, fused with text if given
    score(u, i) = <E_u, E_i>             loss = BPR + reg · L2 of the batch's rows

No graph is read: the control of every model that propagates. The paper's λ_W, λ_H+ and λ_H- are one ``reg``,
and Adam takes the place of stochastic gradient descent, here as in every model.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from recommender.data import TrainingData
from recommender.graph.nodes import batch_rows
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel


class Config(RankingConfig):
    """Settings of BPR-MF."""


class Network(torch.nn.Module):
    """The trainable part. U users, I items, b batch size, M negatives, d embedding_dim.

    Args:
        config: Settings.
        data: Training pairs.
        vectors: Projected vectors of users and items.
        seed: Of the first weights.
    """

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        self._config = config
        self._num_users = data.num_users
        self._sampler = pair_sampler(config, data)
        self.layer_zero = LayerZero.of(config, data, vectors, torch.Generator().manual_seed(seed))

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """BPR + reg · L2 of one batch."""
        del noise
        embeddings = self.layer_zero()
        rows = batch_rows(batch, self._num_users).to(embeddings.device)
        nodes = embeddings.index_select(0, rows)  # (b · (2 + M), d)
        penalty = self._config.reg * l2_penalty(nodes, len(batch))
        return ranking_loss(self._config, nodes, len(batch)) + penalty

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) vectors in memory of their own."""
        embeddings = self.layer_zero()
        return embeddings[: self._num_users].clone(), embeddings[self._num_users :].clone()


Model = partial(VectorModel, "bpr_mf", Network)

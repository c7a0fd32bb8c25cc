"""LightGCN, with plain ID embeddings or with vectors of a release.

He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020:

    E(0) = `recommender.text.layer_zero`      ID embeddings N(0, s²), s = init_std, fused with text if given
    E = layer mean of Â^l E(0)           see `recommender.graph.propagation`
    score(u, i) = <E_u, E_i>             loss = BPR + reg · L2 of the batch's layer-0 rows

With ``fusion=replace`` an item is nothing but its text: ISRF's eq. 2-4 (arXiv 2603.13934).
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import torch
from pydantic import Field

from recommender.data import TrainingData
from recommender.graph.nodes import batch_rows, training_graph
from recommender.graph.propagation import Propagation, layer_mean
from recommender.search_space import RANKING_SPACE, Choice, SearchSpace
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel


class Config(RankingConfig):
    """Settings of LightGCN."""

    num_layers: int = Field(default=3, ge=0, description="Propagation layers L; 0 is matrix factorisation.")


SPACE: Final[SearchSpace] = {**RANKING_SPACE, "num_layers": Choice((1, 2, 3, 4))}


class Network(torch.nn.Module):
    """The trainable part. U users, I items, N = U + I nodes, b batch size, M negatives, d embedding_dim.

    Args:
        config: Settings.
        data: Its training pairs become the graph.
        vectors: Projected vectors of users and items.
        seed: Of the first weights.
    """

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        self._config = config
        self._num_users = data.num_users
        self._sampler = pair_sampler(config, data)
        self.layer_zero = LayerZero.of(config, data, vectors, torch.Generator().manual_seed(seed))
        self.propagation = Propagation(training_graph(data), config.num_layers)

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
        layer_zero = self.layer_zero()
        rows = batch_rows(batch, self._num_users).to(layer_zero.device)
        final, first = self.propagation.rows(layer_zero, rows)  # (b · (2 + M), d) each
        penalty = self._config.reg * l2_penalty(first, len(batch))
        return ranking_loss(self._config, final, len(batch)) + penalty

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors in memory of their own."""
        final = layer_mean(self.layer_zero(), self.propagation.adjacency, self.propagation.num_layers)
        return final[: self._num_users].clone(), final[self._num_users :].clone()


Model = partial(VectorModel, "lightgcn", Network)

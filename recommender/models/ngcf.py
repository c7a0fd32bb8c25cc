"""NGCF: propagation with weights, a product of neighbours, and an activation at every layer.

Wang et al., "Neural Graph Collaborative Filtering", SIGIR 2019, eq. 7-11:

    E(0) = `recommender.text.layer_zero`
    E(l+1) = LeakyReLU((Â + 1) E(l) W1 + (Â E(l) ⊙ E(l)) W2)      layer weights W1, W2 (d, d)
    E = [E(0) ‖ E(1) ‖ … ‖ E(L)],   each layer but E(0) with rows of length 1
    score(u, i) = <E_u, E_i>        loss = BPR + reg · L2 of the batch's layer-0 rows

From the official code: rows of length 1, a bias at both products, the slope 0.2 of LeakyReLU, message dropout
on a whole layer in training. Node dropout, which the paper finds better on some data, is not offered.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import leaky_relu, normalize

from recommender.data import TrainingData
from recommender.graph.nodes import batch_rows, training_graph
from recommender.graph.propagation import propagate
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.random_words import dropout
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel

_SLOPE: Final = 0.2


class Config(RankingConfig):
    """Settings of NGCF."""

    num_layers: int = Field(default=3, ge=0, description="Propagation layers L; the paper's are 3.")
    message_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="Share of a layer's numbers dropped in training; the paper's."
    )


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
        generator = torch.Generator().manual_seed(seed)
        self.layer_zero = LayerZero.of(config, data, vectors, generator)
        self.adjacency = training_graph(data)
        self.sum_layers = _linear_layers(config, generator)  # W1
        self.product_layers = _linear_layers(config, generator)  # W2

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """BPR + reg · L2 of one batch."""
        rows = batch_rows(batch, self._num_users).to(self.layer_zero.ids.device)
        nodes, places = rows.unique(return_inverse=True)  # (n,) and (b · (2 + M),)
        first, *others = self._layers(nodes, noise)
        final = _concatenated(first, others).index_select(0, places)  # (b · (2 + M), (L + 1) · d)
        penalty = self._config.reg * l2_penalty(first.index_select(0, places), len(batch))
        return ranking_loss(self._config, final, len(batch)) + penalty

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, (L + 1) · d) and (I, (L + 1) · d) final vectors, without dropout."""
        every = torch.arange(self.adjacency.num_nodes, device=self.layer_zero.ids.device)
        first, *others = self._layers(every, None)
        final = _concatenated(first, others)
        return final[: self._num_users].clone(), final[self._num_users :].clone()

    def _layers(self, nodes: torch.Tensor, noise: torch.Generator | None) -> list[torch.Tensor]:
        """E(0) to E(L) of (n,) distinct nodes, (n, d) each, with dropout if there is a source of it.

        The last layer is computed of these nodes only.
        """
        layer = self.layer_zero()  # (N, d)
        found = [layer.index_select(0, nodes)]
        for number, maps in enumerate(zip(self.sum_layers, self.product_layers, strict=True), start=1):
            own, neighbours = layer, propagate(layer, self.adjacency)  # (N, d) E and Â E
            is_last = number == self._config.num_layers
            if is_last:
                own, neighbours = found[-1], neighbours.index_select(0, nodes)
            of_sum, of_product = maps
            layer = leaky_relu(of_sum(neighbours + own) + of_product(neighbours * own), _SLOPE, inplace=True)
            if noise is not None:
                layer = dropout(layer, self._config.message_dropout, noise)
            found.append(layer if is_last else layer.index_select(0, nodes))
        return found


def _concatenated(first: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([first, *(normalize(layer, dim=1) for layer in others)], dim=1)


def _linear_layers(config: Config, generator: torch.Generator) -> torch.nn.ModuleList:
    """One (d, d) map per layer: Glorot's weights, biases zero."""
    maps = [torch.nn.Linear(config.embedding_dim, config.embedding_dim) for _ in range(config.num_layers)]
    for one in maps:
        torch.nn.init.xavier_uniform_(one.weight, generator=generator)
        torch.nn.init.zeros_(one.bias)
    return torch.nn.ModuleList(maps)


Model = partial(VectorModel, "ngcf", Network)

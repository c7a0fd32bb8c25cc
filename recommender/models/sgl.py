"""SGL: LightGCN whose embeddings are contrasted under two random cuts of the graph.

Wu et al., "Self-supervised Graph Learning for Recommendation", SIGIR 2021, eq. 10-12:

    E(0) = `recommender.text.layer_zero`      E = mean of E(0) to E(L), E(l+1) = Â E(l)
    E' and E'' likewise, over two cuts of the training graph, drawn anew for every epoch
    score(u, i) = <E_u, E_i>
    loss = BPR + reg · L2 of the batch's layer-0 rows + λ · (InfoNCE of users + InfoNCE of items)(E', E'')

How a graph is cut: `recommender.graph.views`. The contrast is among the batch's users and among its
positives, each once; the official code takes all nodes of a side as negatives.

Ours: λ was chosen on the validation part of colakg-lastfm; drop rate and τ were left as they are.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from pydantic import Field

from recommender.data import TrainingData
from recommender.graph.layer_rows import Reading, mean_of_layers, read_layers
from recommender.graph.node_contrast import contrast_in_batch
from recommender.graph.nodes import batch_nodes, batch_rows, training_graph
from recommender.graph.propagation import Adjacency, Propagation, layer_mean
from recommender.graph.views import Augmentation, cut_graphs
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel


class Config(RankingConfig):
    """Settings of SGL."""

    num_layers: int = Field(default=3, ge=1, description="Propagation layers L.")
    augmentation: Augmentation = Field(default="edge_drop", description="How the graph is cut.")
    drop_rate: float = Field(default=0.1, ge=0, lt=1, description="Share of edges or nodes left out.")
    temperature: float = Field(default=0.2, gt=0, description="Temperature τ of InfoNCE.")
    contrast_weight: float = Field(default=0.05, ge=0, description="Weight λ of InfoNCE.")


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
        self._data = data
        self._mean = mean_of_layers(config.num_layers)
        self.layer_zero = LayerZero.of(config, data, vectors, torch.Generator().manual_seed(seed))
        self.propagation = Propagation(training_graph(data), config.num_layers)
        self._views = [[self.propagation.adjacency] * config.num_layers] * 2  # until an epoch cuts them

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`; two views are drawn first."""
        self._views = [self._cut(generator) for _ in range(2)]
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """BPR + reg · L2 + λ · InfoNCE of one batch."""
        del noise
        config, layer_zero = self._config, self.layer_zero()
        rows = batch_rows(batch, self._num_users).to(layer_zero.device)
        final, first = self.propagation.rows(layer_zero, rows)  # (b · (2 + M), d) each
        sides = batch_nodes(batch, self._num_users)
        reading = Reading(torch.cat(sides).to(layer_zero.device), (self._mean,))
        views = [read_layers(layer_zero, graphs, [reading])[0] for graphs in self._views]
        first_view, second_view = (view.split([len(side) for side in sides]) for view in views)
        users, items = contrast_in_batch(first_view, second_view, config.temperature)
        penalty = config.reg * l2_penalty(first, len(batch))
        return ranking_loss(config, final, len(batch)) + penalty + config.contrast_weight * (users + items)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors over the whole graph."""
        final = layer_mean(self.layer_zero(), self.propagation.adjacency, self.propagation.num_layers)
        return final[: self._num_users], final[self._num_users :]

    def _cut(self, generator: np.random.Generator) -> list[Adjacency]:
        graphs = cut_graphs(
            self._data,
            self._config.augmentation,
            drop_rate=self._config.drop_rate,
            num_layers=self._config.num_layers,
            generator=generator,
        )
        return [graph.to(self.layer_zero.ids.device) for graph in graphs]


Model = partial(VectorModel, "sgl", Network)

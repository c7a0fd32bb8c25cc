"""NCL: LightGCN whose nodes agree with their structural neighbours and with their cluster's prototype.

Lin et al., "Improving Graph Collaborative Filtering with Neighborhood-enriched Contrastive Learning", WWW
2022. E(l) = Â^l E(0), E their mean as in LightGCN, k an even layer: even steps lead to nodes of one's side.

    structure (eq. 5-7)     InfoNCE of E(k)_v and E(0)_v among E(0)_w of v's side
    prototypes (eq. 10-12)  InfoNCE of E(0)_v and the centre of v's cluster among all centres of v's side
    loss = ranking loss + λ1 structure + λ2 prototypes + reg · L2 of the batch's layer-0 rows

Each contrastive term is the one of users plus a times the one of items. The expectation step, k-means of
E(0), is made at the start of every epoch from weights and the epoch's generator; the first epochs go without.

Ours: every contrastive term is a mean over the batch's nodes, each once, where the authors' code sums over
pairs (its λ1 = 1e-7 and λ2 = 8e-8 stand for 4e-4 and 3e-4 with batches of 4,096). Other nodes of the batch
are the negatives by default; ``contrast_against=all`` is the paper's. λ1 and λ2 were chosen on the validation
part of colakg-lastfm.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from pydantic import Field, field_validator

from recommender.data import TrainingData
from recommender.graph.clustering import k_means
from recommender.graph.layer_rows import Reading, mean_of_layers, only_layer, read_layers
from recommender.graph.node_contrast import Against, contrast_in_batch, contrast_with_all
from recommender.graph.nodes import batch_nodes, batch_rows, training_graph
from recommender.graph.propagation import layer_mean
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel

Views: TypeAlias = Sequence[torch.Tensor]
"""Something of the users, and of the items."""
Clusters: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""(k, d) float32 centres of one side, and (n,) int64: the centre of each of its nodes."""


class Config(RankingConfig):
    """Settings of NCL."""

    num_layers: int = Field(default=3, ge=1, description="Propagation layers L of the scores.")
    contrast_layer: int = Field(default=2, ge=2, description="Even layer k that layer 0 is contrasted with.")
    contrast_against: Against = Field(
        default="batch", description="Negatives of structure: nodes of the batch, or all (the paper's, slow)."
    )
    contrast_weight: float = Field(default=0.005, ge=0, description="Weight λ1 of the structural contrast.")
    prototype_weight: float = Field(
        default=0.005, ge=0, description="Weight λ2 of the prototypical contrast."
    )
    item_weight: float = Field(default=1.0, ge=0, description="Weight a of items beside users in both.")
    temperature: float = Field(default=0.1, gt=0, description="Temperature τ of both contrasts; the code's.")
    num_clusters: int = Field(default=1000, ge=1, description="Prototypes per side, at most one per node.")
    cluster_iterations: int = Field(default=10, ge=1, description="Steps of k-means per epoch.")
    epochs_without_prototypes: int = Field(
        default=20, ge=0, description="Epochs before prototypes are made; 20 in the authors' code."
    )

    @field_validator("contrast_layer")
    @classmethod
    def _even(cls, layer: int) -> int:
        if layer % 2:
            raise ValueError("an odd layer describes nodes of the other side; take an even one")
        return layer


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
        self._clusters: tuple[Clusters, Clusters] | None = None
        self.layer_zero = LayerZero.of(config, data, vectors, torch.Generator().manual_seed(seed))
        self.adjacency = training_graph(data)
        unread = max(config.contrast_layer - config.num_layers, 0)
        self._mean = mean_of_layers(config.num_layers) + (0.0,) * unread
        # It stands with the weights, so that a checkpoint holds it; no gradient reaches it.
        self.epochs_begun = torch.nn.Parameter(torch.zeros(1), requires_grad=False)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    @torch.no_grad()
    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`; clusters the nodes first, once it is time."""
        wanted = self._config.prototype_weight > 0
        if wanted and self.epochs_begun.item() >= self._config.epochs_without_prototypes:
            users, items = self._sides(self.layer_zero())
            self._clusters = self._clusters_of(users, generator), self._clusters_of(items, generator)
        self.epochs_begun += 1
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """Ranking loss + λ1 structure + λ2 prototypes + reg · L2 of one batch."""
        del noise
        config, layer_zero = self._config, self.layer_zero()
        pairs = batch_rows(batch, self._num_users)  # (b · (2 + M),)
        users, items = batch_nodes(batch, self._num_users)
        rows = torch.cat([pairs, users, items]).to(layer_zero.device)
        graphs = [self.adjacency] * max(config.num_layers, config.contrast_layer)
        sums = self._mean, only_layer(0, len(graphs)), only_layer(config.contrast_layer, len(graphs))
        final, first, distant = read_layers(layer_zero, graphs, [Reading(rows, sums)])  # (rows, d) each
        penalty = config.reg * l2_penalty(first[: len(pairs)], len(batch))
        ranking = ranking_loss(config, final[: len(pairs)], len(batch))
        counts = len(pairs), len(users), len(items)
        places = rows.split(counts)[1], rows.split(counts)[2] - self._num_users
        own = first.split(counts)[1:]
        others = own if config.contrast_against == "batch" else self._sides(layer_zero)
        structure = self._structure(distant.split(counts)[1:], others, places)
        return ranking + penalty + structure + self._prototypes(own, places)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors in memory of their own."""
        users, items = self._sides(layer_mean(self.layer_zero(), self.adjacency, self._config.num_layers))
        return users.clone(), items.clone()

    def _sides(self, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return nodes[: self._num_users], nodes[self._num_users :]

    def _structure(self, anchors: Views, others: Views, places: Views) -> torch.Tensor:
        """λ1 · InfoNCE of E(k) and E(0) of the batch's nodes."""
        config = self._config
        if config.contrast_against == "batch":
            losses = contrast_in_batch(anchors, others, config.temperature)
        else:
            losses = contrast_with_all(anchors, others, places, config.temperature)
        return config.contrast_weight * (losses[0] + config.item_weight * losses[1])

    def _prototypes(self, anchors: Views, places: Views) -> torch.Tensor:
        """λ2 · InfoNCE of E(0) of the batch's nodes and their centres; 0 as long as there are none."""
        if self._clusters is None:
            return anchors[0].new_zeros(())
        centres = [centres for centres, _ in self._clusters]
        rows = [nearest[own] for (_, nearest), own in zip(self._clusters, places, strict=True)]
        losses = contrast_with_all(anchors, centres, rows, self._config.temperature)
        return self._config.prototype_weight * (losses[0] + self._config.item_weight * losses[1])

    def _clusters_of(self, vectors: torch.Tensor, generator: np.random.Generator) -> Clusters:
        config = self._config
        return k_means(
            vectors, config.num_clusters, num_iterations=config.cluster_iterations, generator=generator
        )


Model = partial(VectorModel, "ncl", Network)

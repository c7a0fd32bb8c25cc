"""LightGCL: LightGCN contrasted with propagation over the graph's leading singular vectors.

Cai et al., "LightGCL: Simple Yet Effective Graph Contrastive Learning for Recommendation", ICLR 2023. R̂ is
the user-item block of Â, U_q S_q V_qᵀ its truncated SVD; written for users, items likewise:

    E(l) = Â E(l-1)                     the local view; edges may be dropped, anew for every step
    G(l) = U_q S_q V_qᵀ E_items(l-1)    the global view (eq. 5): one global step from each local layer
    E, G = means of the layers; G(0) = E(0); cosines know no length, so that G stays a sum
    contrast = InfoNCE of G_v and E_v among E_w of v's side, users plus items (eq. 6)
    loss = ranking loss + λ contrast + reg · L2 of the batch's layer-0 rows

Scores are products of E over the whole graph. Ours: means in place of sums, so that scores, learning rate and
reg mean what they mean in LightGCN; cosines as in the paper, where the authors' code has products cut at ±5;
no activation, as in their code; one draw of dropped edges per step, for all layers and both directions. Other
nodes of the batch are the negatives by default; ``contrast_against=all`` is the paper's. λ was chosen on the
validation part of colakg-lastfm, where 0.05 is too much.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from pydantic import Field

from recommender.data import TrainingData
from recommender.graph.edge_dropout import EdgeDropout
from recommender.graph.layer_rows import Reading, mean_of_layers, only_layer, read_layers
from recommender.graph.low_rank import LowRankViews
from recommender.graph.node_contrast import Against, contrast_in_batch, contrast_with_all
from recommender.graph.nodes import batch_nodes, batch_rows, training_graph
from recommender.graph.propagation import layer_mean, layers
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel


class Config(RankingConfig):
    """Settings of LightGCL."""

    num_layers: int = Field(default=2, ge=1, description="Propagation layers L; 2 in the paper.")
    svd_rank: int = Field(default=5, ge=1, description="Singular vectors q of the global view.")
    edge_dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of edges dropped in every step.")
    contrast_against: Against = Field(
        default="batch", description="Negatives of a node: nodes of the batch, or all (the paper's, slow)."
    )
    contrast_weight: float = Field(default=0.01, ge=0, description="Weight λ of the contrast.")
    temperature: float = Field(default=0.2, gt=0, description="Temperature τ of the contrast; the code's.")


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
        self.adjacency = training_graph(data)
        self.dropout = EdgeDropout(self.adjacency, config.edge_dropout)
        self.low_rank = LowRankViews(self.adjacency, data.num_users, config.svd_rank)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """Ranking loss + λ contrast + reg · L2 of one batch."""
        config, layer_zero, graph = self._config, self.layer_zero(), self.dropout(noise)
        pairs = batch_rows(batch, self._num_users)  # (b · (2 + M),)
        users, items = batch_nodes(batch, self._num_users)
        rows = torch.cat([pairs, users, items]).to(layer_zero.device)
        sums = mean_of_layers(config.num_layers), only_layer(0, config.num_layers)
        reading = Reading(rows, sums)
        local, first = read_layers(layer_zero, [graph] * config.num_layers, [reading])  # (rows, d) each
        penalty = config.reg * l2_penalty(first[: len(pairs)], len(batch))
        ranking = ranking_loss(config, local[: len(pairs)], len(batch))
        counts = len(pairs), len(users), len(items)
        places = rows.split(counts)[1], rows.split(counts)[2] - self._num_users
        across = self.low_rank.rows(layer_zero, graph, config.num_layers, places)
        across = [view + own for view, own in zip(across, first.split(counts)[1:], strict=True)]
        if config.contrast_against == "batch":
            contrast = contrast_in_batch(across, local.split(counts)[1:], config.temperature)
        else:
            everything = torch.stack(layers(layer_zero, graph, config.num_layers)).sum(dim=0)  # (N, d)
            sides = everything[: self._num_users], everything[self._num_users :]
            contrast = contrast_with_all(across, sides, places, config.temperature)
        return ranking + config.contrast_weight * (contrast[0] + contrast[1]) + penalty

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors in memory of their own."""
        final = layer_mean(self.layer_zero(), self.adjacency, self._config.num_layers)
        return final[: self._num_users].clone(), final[self._num_users :].clone()


Model = partial(VectorModel, "lightgcl", Network)

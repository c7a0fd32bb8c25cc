"""XSimGCL: SimGCL in one propagation, whose mean is ranked and is contrasted with one of its layers.

Yu et al., "XSimGCL: Towards Extremely Simple Graph Contrastive Learning for Recommendation", TKDE 2023:

    E(0) = `recommender.text.layer_zero`      E(l+1) = Â E(l) + Δ in training, Â E(l) for scores
    Δ = ε · sign ⊙ uniform direction     see `recommender.graph.sign_noise`
    E = mean of E(first_layer) to E(L)   score(u, i) = <E_u, E_i>
    loss = BPR + reg · L2 of the batch's layer-0 rows + λ · (InfoNCE of users + InfoNCE of items)(E, E(k))

k = contrast_layer is the paper's l*. The contrast is among the batch's users and among its positives, each
once. As in the official code E(0) is not part of the mean: a node without edges, such as an item with nothing
but a text, is scored 0 then, and ``first_layer=0`` keeps it.

Ours: λ was chosen on the validation part of colakg-lastfm; ε, τ and k were left as they are.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from pydantic import Field, model_validator

from recommender.data import TrainingData
from recommender.graph.layer_rows import Reading, mean_of_layers, only_layer, read_layers, weighted_layers
from recommender.graph.node_contrast import contrast_in_batch
from recommender.graph.nodes import batch_nodes, batch_rows, training_graph
from recommender.graph.sign_noise import add_sign_noise
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel


class Config(RankingConfig):
    """Settings of XSimGCL."""

    num_layers: int = Field(default=3, ge=1, description="Propagation layers L.")
    first_layer: int = Field(
        default=1, ge=0, le=1, description="First layer of the mean; the official code leaves layer 0 out."
    )
    epsilon: float = Field(default=0.1, ge=0, description="Length ε of the noise at every layer.")
    contrast_layer: int = Field(
        default=1, ge=1, description="Layer k that the mean is contrasted with; the paper's l*."
    )
    temperature: float = Field(default=0.2, gt=0, description="Temperature τ of InfoNCE.")
    contrast_weight: float = Field(default=0.05, ge=0, description="Weight λ of InfoNCE.")

    @model_validator(mode="after")
    def _contrast_layer_exists(self) -> "Config":
        if self.contrast_layer > self.num_layers:
            raise ValueError(
                f"contrast_layer={self.contrast_layer} is above num_layers={self.num_layers}; lower it"
            )
        return self


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
        self._mean = mean_of_layers(config.num_layers, first=config.first_layer)
        self.layer_zero = LayerZero.of(config, data, vectors, torch.Generator().manual_seed(seed))
        self.adjacency = training_graph(data)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """BPR + reg · L2 + λ · InfoNCE of one batch."""
        config, layer_zero = self._config, self.layer_zero()
        ranked = batch_rows(batch, self._num_users)
        sides = batch_nodes(batch, self._num_users)
        rows = torch.cat([ranked, *sides]).to(layer_zero.device)
        sums = (self._mean, *(only_layer(layer, config.num_layers) for layer in (0, config.contrast_layer)))
        perturb = partial(add_sign_noise, epsilon=config.epsilon, noise=noise)
        graphs = [self.adjacency] * config.num_layers
        read = read_layers(layer_zero, graphs, [Reading(rows, sums, perturb)])
        parts = [len(ranked), *(len(side) for side in sides)]
        (final, *means), (first, *_), (_, *layers) = (values.split(parts) for values in read)
        users, items = contrast_in_batch(means, layers, config.temperature)
        penalty = config.reg * l2_penalty(first, len(batch))
        return ranking_loss(config, final, len(batch)) + penalty + config.contrast_weight * (users + items)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors without noise."""
        final = weighted_layers(self.layer_zero(), self.adjacency, self._mean)
        return final[: self._num_users], final[self._num_users :]


Model = partial(VectorModel, "xsimgcl", Network)

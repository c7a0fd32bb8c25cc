"""SimGCL: LightGCN whose embeddings are contrasted under two draws of noise, instead of two cut graphs.

Yu et al., "Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for Recommendation", SIGIR
2022, eq. 7-9:

    E(0) = `recommender.text.layer_zero`      E(l+1) = Â E(l)
    E' and E'': E(l+1) = Â E(l) + Δ      Δ = ε · sign ⊙ uniform direction, see `recommender.graph.sign_noise`
    E = mean of E(first_layer) to E(L), of each of the three
    score(u, i) = <E_u, E_i>
    loss = BPR + reg · L2 of the batch's layer-0 rows + λ · (InfoNCE of users + InfoNCE of items)(E', E'')

The contrast is among the batch's users and among its positives, each once. As in the official code E(0)
is not part of the mean: a node without edges, such as an item with nothing but a text, is scored 0 then, and
``first_layer=0`` keeps it. The three views are propagated by `recommender.graph.layer_rows`, with the
backward pass of one.

Ours: λ was chosen on the validation part of colakg-lastfm, where the paper's 0.5 for Yelp drowns the ranking
loss.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from pydantic import Field

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
    """Settings of SimGCL."""

    num_layers: int = Field(default=3, ge=1, description="Propagation layers L.")
    first_layer: int = Field(
        default=1, ge=0, le=1, description="First layer of the mean; the official code leaves layer 0 out."
    )
    epsilon: float = Field(default=0.1, ge=0, description="Length ε of the noise at every layer.")
    temperature: float = Field(default=0.2, gt=0, description="Temperature τ of InfoNCE.")
    contrast_weight: float = Field(default=0.02, ge=0, description="Weight λ of InfoNCE.")


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
        rows = batch_rows(batch, self._num_users).to(layer_zero.device)
        sides = batch_nodes(batch, self._num_users)
        nodes = torch.cat(sides).to(layer_zero.device)
        perturb = partial(add_sign_noise, epsilon=config.epsilon, noise=noise)
        plain = Reading(rows, (self._mean, only_layer(0, config.num_layers)))
        noisy = Reading(nodes, (self._mean,), perturb)
        graphs = [self.adjacency] * config.num_layers
        final, first, *views = read_layers(layer_zero, graphs, [plain, noisy, noisy])
        first_view, second_view = (view.split([len(side) for side in sides]) for view in views)
        users, items = contrast_in_batch(first_view, second_view, config.temperature)
        penalty = config.reg * l2_penalty(first, len(batch))
        return ranking_loss(config, final, len(batch)) + penalty + config.contrast_weight * (users + items)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors without noise."""
        final = weighted_layers(self.layer_zero(), self.adjacency, self._mean)
        return final[: self._num_users], final[self._num_users :]


Model = partial(VectorModel, "simgcl", Network)

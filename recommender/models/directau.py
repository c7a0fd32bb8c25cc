"""DirectAU: pairs close together, nodes spread over the sphere; no negatives.

Wang et al., "Towards Representation Alignment and Uniformity in Collaborative Filtering", KDD 2022:

    E = layer mean of Â^l E(0)                     the encoder; 0 layers are the paper's matrix factorisation
    l_align = mean over pairs of ‖f(u) - f(i)‖²    f normalises E: eq. 4
    l_uniform(x) = log mean exp(-2 ‖x - y‖²)       over pairs of the batch's users, or items: eq. 5
    loss = l_align + w (l_uniform(users) + l_uniform(items)) / 2 + reg · L2 of the batch's layer-0 rows
    score(u, i) = <E_u, E_i>                       as in the authors' code: lengths count

Ours: a user or an item that is in several pairs of a batch counts once in l_uniform, for a copy of itself at
distance 0 that cannot be pushed away takes the weight of those that can. w was chosen on the validation part
of colakg-lastfm; on data where many users have most items in common, w = 1 tears them apart.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from pydantic import Field

from recommender.data import TrainingData
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import Propagation, layer_mean
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.embedding_config import EmbeddingConfig
from recommender.training.losses import alignment_loss, l2_penalty, uniformity_loss
from recommender.training.sampling import PairBatch, PairSampler
from recommender.vector_model import VectorModel


class Config(EmbeddingConfig):
    """Settings of DirectAU."""

    num_layers: int = Field(default=2, ge=0, description="Propagation layers L; 0 is matrix factorisation.")
    uniformity_weight: float = Field(
        default=0.4, ge=0, description="w; the paper's best are 1 (Beauty, Yelp) and 5 (Gowalla)."
    )


class Network(torch.nn.Module):
    """The trainable part. U users, I items, N = U + I nodes, b batch size, d embedding_dim.

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
        self._sampler = PairSampler(data, config.batch_size)
        self.layer_zero = LayerZero.of(config, data, vectors, torch.Generator().manual_seed(seed))
        self.propagation = Propagation(training_graph(data), config.num_layers)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`; the negatives are not read."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """Alignment + w uniformity + reg · L2 of one batch."""
        del noise
        layer_zero = self.layer_zero()
        pairs = np.concatenate([batch.users, batch.positives + self._num_users])  # (2b,)
        nodes, places = (torch.from_numpy(a) for a in np.unique(pairs, return_inverse=True))
        final, first = self.propagation.rows(layer_zero, nodes.to(layer_zero.device))  # (m, d) each
        users, items = final.index_select(0, places.to(final.device)).chunk(2)  # (b, d) each
        num_users = int((nodes < self._num_users).sum())
        uniformity = (uniformity_loss(final[:num_users]) + uniformity_loss(final[num_users:])) / 2
        penalty = self._config.reg * l2_penalty(first, len(batch))
        return alignment_loss(users, items) + self._config.uniformity_weight * uniformity + penalty

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors in memory of their own."""
        final = layer_mean(self.layer_zero(), self.propagation.adjacency, self.propagation.num_layers)
        return final[: self._num_users].clone(), final[self._num_users :].clone()


Model = partial(VectorModel, "directau", Network)

"""MixGCF: LightGCN against negatives that are mixed from positives, candidates and layers.

Huang et al., "MixGCF: An Improved Training Method for Graph Neural Network-based Recommender Systems", KDD
2021. E(l) = Â^l E(0), E their mean, u user, p positive, M candidates n that u has not had:

    positive mixing (eq. 6)    e'_n(l) = a(l) E(l)_p + (1 - a(l)) E(l)_n,  a(l) uniform in (0, 1)
    hop mixing (eq. 7-8)       x(l) = argmax over n of <E_u, e'_n(l)>;  e⁻ = mean over l of e'_x(l)(l)
    loss = ranking loss of <E_u, E_p> and <E_u, e⁻> + reg · L2 of layer 0 of u, p and e'

As in the authors' code all candidates of a pair share a(l), so that it moves all of their scores alike and
<E_u, E(l)_n> alone decides: candidates are looked through without gradients, and of the M of a pair one per
layer is mixed.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from pydantic import Field

from recommender.data import TrainingData
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import layer_mean, layers
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel


class Config(RankingConfig):
    """Settings of MixGCF."""

    num_layers: int = Field(default=3, ge=0, description="Propagation layers L.")
    num_negatives: int = Field(
        default=16, ge=1, description="Candidates M per pair; the paper's are 16, 32 and 64."
    )


class Network(torch.nn.Module):
    """The trainable part. U users, I items, N = U + I nodes, b batch size, M candidates, d embedding_dim.

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

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """Ranking loss of mixed negatives + reg · L2 of one batch."""
        found = layers(self.layer_zero(), self.adjacency, self._config.num_layers)
        device = found[0].device
        users = torch.from_numpy(batch.users).to(device)  # (b,)
        positives = torch.from_numpy(batch.positives + self._num_users).to(device)  # (b,)
        candidates = torch.from_numpy(batch.negatives + self._num_users).to(device)  # (b, M)
        mixed = [
            _mixed_rows(layer, users, positives, chosen, noise)
            for layer, chosen in zip(found, hardest(found, users, candidates), strict=True)
        ]
        penalty = self._config.reg * l2_penalty(mixed[0], len(batch))
        final = torch.stack(mixed).mean(dim=0)  # (3b, d)
        return ranking_loss(self._config, final, len(batch)) + penalty

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors in memory of their own."""
        final = layer_mean(self.layer_zero(), self.adjacency, self._config.num_layers)
        return final[: self._num_users].clone(), final[self._num_users :].clone()


@torch.no_grad()
def hardest(found: list[torch.Tensor], users: torch.Tensor, candidates: torch.Tensor) -> list[torch.Tensor]:
    """For each layer the candidate that scores highest there against the user's final vector.

    Args:
        found: L + 1 layers, (N, d) each.
        users: (b,) int64 node rows.
        candidates: (b, M) int64 node rows.

    Returns:
        L + 1 times (b,) int64 node rows. Cost: (L + 1) · b · M gathered rows, M · b of them at once.
    """
    queries = torch.stack([layer.index_select(0, users) for layer in found]).mean(dim=0)  # (b, d)
    chosen: list[torch.Tensor] = []
    for layer in found:
        vectors = layer.index_select(0, candidates.flatten()).view(*candidates.shape, -1)  # (b, M, d)
        scores = torch.bmm(vectors, queries.unsqueeze(2)).squeeze(2)  # (b, M)
        chosen.append(candidates.gather(1, scores.argmax(dim=1, keepdim=True)).squeeze(1))
    return chosen


def _mixed_rows(
    layer: torch.Tensor,
    users: torch.Tensor,
    positives: torch.Tensor,
    chosen: torch.Tensor,
    noise: torch.Generator,
) -> torch.Tensor:
    """(3b, d) rows of one layer: users, positives, mixed negatives."""
    rows = layer.index_select(0, torch.cat([users, positives, chosen]))
    near, far = rows[len(users) :].chunk(2)
    share = torch.rand(len(users), 1, generator=noise, device=layer.device)  # a(l)
    return torch.cat([rows[: 2 * len(users)], torch.lerp(far, near, share)])


Model = partial(VectorModel, "mixgcf", Network)

"""SimpleX: a user is an ID and the items of the history; one positive against many negatives.

Mao et al., "SimpleX: A Simple and Strong Baseline for Collaborative Filtering", CIKM 2021:

    f(u) = g E_u + (1 - g) W mean of E_i over u's training items    eq. 4-5 with average pooling
    score(u, i) = cos(f(u), E_i)
    loss = (1 - s⁺) + w · mean over M negatives of max(0, s⁻ - m)    CCL: eq. 1, + reg · L2 of the rows read

Ours: all pairs of a batch share one draw of M different items, so that M negatives cost one (b, d) by (d, M)
product instead of M gathered rows per pair; a drawn item that is a user's positive weighs nothing for that
user; W starts as the identity; the pooling reads all training items, without a limit on their number. g, m
and w were chosen on the validation part of colakg-lastfm; the paper's vary with the data, and w = 100 and
more spoils that one.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import normalize

from recommender.data import IntArray, TrainingData
from recommender.graph.history_mean import HistoryMean
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.embedding_config import EmbeddingConfig
from recommender.training.losses import cosine_contrastive_loss, l2_penalty
from recommender.training.sampling import PairBatch, PairSampler
from recommender.vector_model import VectorModel


class Config(EmbeddingConfig):
    """Settings of SimpleX."""

    own_weight: float = Field(
        default=0.2, ge=0, le=1, description="Weight g of the user's ID beside the history."
    )
    num_negatives: int = Field(default=1000, ge=1, description="Negatives M per step, at most all items.")
    margin: float = Field(default=0.3, ge=-1, le=1, description="Cosine m below which a negative is easy.")
    negative_weight: float = Field(default=15.0, ge=0, description="Weight w of negatives.")


class Network(torch.nn.Module):
    """The trainable part. U users, I items, b batch size, M negatives, d embedding_dim.

    Args:
        config: Settings.
        data: Its training pairs become histories.
        vectors: Projected vectors of users and items.
        seed: Of the first weights.
    """

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        self._config = config
        self._data = data
        self._sampler = PairSampler(data, config.batch_size)
        self.layer_zero = LayerZero.of(config, data, vectors, torch.Generator().manual_seed(seed))
        self.history_mean = HistoryMean(data)
        self.weight = torch.nn.Parameter(torch.eye(config.embedding_dim))  # W

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`; its negatives are not read."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """CCL + reg · L2 of one batch."""
        own, items = self._sides()
        users = torch.from_numpy(batch.users).to(items.device)
        drawn = torch.randperm(len(items), generator=noise, device=items.device)[: self._config.num_negatives]
        rows = torch.cat([torch.from_numpy(batch.positives).to(items.device), drawn])
        first, read = own.index_select(0, users), items.index_select(0, rows)  # (b, d), (b + M, d)
        vectors = self._user_vectors(first, self.history_mean(items).index_select(0, users))
        positives, negatives = normalize(read, dim=1).split([len(batch), len(drawn)])
        lines, columns = self._own_positives(batch.users, drawn)
        cosines = vectors @ negatives.T  # (b, M), of bfloat16 in mixed precision
        cosines = cosines.index_put((lines, columns), cosines.new_tensor(-1.0))
        loss = cosine_contrastive_loss(
            (vectors * positives).sum(dim=1),
            cosines,
            margin=self._config.margin,
            negative_weight=self._config.negative_weight,
        )
        return loss + self._config.reg * (l2_penalty(first, len(batch)) + l2_penalty(read, len(batch)))

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) vectors of length 1."""
        own, items = self._sides()
        return self._user_vectors(own, self.history_mean(items)), normalize(items, dim=1)

    def _sides(self) -> tuple[torch.Tensor, torch.Tensor]:
        nodes = self.layer_zero()
        return nodes[: self._data.num_users], nodes[self._data.num_users :]

    def _user_vectors(self, own: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """(n, d) normalised f(u) of (n, d) IDs and history means."""
        share = self._config.own_weight
        return normalize(share * own + (1 - share) * (means @ self.weight.T), dim=1)

    def _own_positives(self, users: IntArray, drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lines of ``users`` and columns of ``drawn`` where the user has had the item."""
        places = np.full(self._data.num_items, -1)
        places[drawn.cpu().numpy()] = np.arange(len(drawn))
        lines, items = self._data.seen.pairs_of(users)
        columns = places[items]
        hit = columns >= 0
        return torch.from_numpy(lines[hit]).to(drawn.device), torch.from_numpy(columns[hit]).to(drawn.device)


Model = partial(VectorModel, "simplex", Network)

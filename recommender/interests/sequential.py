"""ISRF's sequential task on a graph: rank what comes next by a query of the newest items and by h_u.

    score(u, i) = <query + w h_u, e_i / ‖e_i‖>     query of e_j / ‖e_j‖: `recommender.interests.history_query`
    loss = mean over all events that have a next one of -log softmax_i(score / τ_s)
         + reg · L2 of the next items' E(0) and the users' H(0) + λ_DS L_DS or λ_SA L_SA

E, H and the turns: `recommender.interests.refinement`; w is group_weight, z_u the mean over the events of u
that a batch reads. H(0) is in L2 only if H is in scores. A step sees no edges of its batch's users
(`recommender.graph.hidden_edges`), but for their e_u as teachers.

Letters: U users, I items, b users of a batch, T events, m aligned users, d embedding_dim.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import normalize

from recommender.data import IntArray, TrainingData
from recommender.graph.hidden_edges import HiddenEdges
from recommender.graph.propagation import Propagation
from recommender.interests.history_query import HistoryQuery, Pooling
from recommender.interests.refinement import InterestConfig, Interests, TurnBatch, means_of, take_turns
from recommender.sequence.model import history_states
from recommender.sequence.sequences import SequenceBatch, SequenceSampler
from recommender.text.layer_zero import NodeVectors
from recommender.training.full_softmax import catalogue_cross_entropy
from recommender.training.losses import l2_penalty


class SequentialConfig(InterestConfig):
    """Settings that only the sequential task reads, beside all others."""

    pooling: Pooling = Field(default="attention", description="How a query weighs the events of a history.")
    max_length: int = Field(default=50, ge=1, description="Newest events of a history that are read.")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="Chance of a value of a query to be dropped.")
    softmax_temperature: float = Field(
        default=0.07, gt=0, description="Temperature τ_s of the softmax over all items."
    )
    hidden_edges: Literal["batch", "none"] = Field(
        default="batch", description="Users whose edges a step leaves out."
    )


class SequentialNetwork(torch.nn.Module):
    """The trainable part.

    Args:
        neighbors: (U, K) int64 of `recommender.interests.user_graph`.
        config: Settings.
        data: Its training pairs become the graph, its training histories are learned from.
        vectors: Projected vectors of items; those of users are not read.
        seed: Of the first weights.
    """

    def __init__(
        self,
        neighbors: IntArray,
        config: SequentialConfig,
        data: TrainingData,
        vectors: NodeVectors,
        seed: int,
    ) -> None:
        super().__init__()
        self._config = config
        self._histories = data.histories
        self._sampler = SequenceSampler(data.histories, config.batch_size, config.max_length)
        generator = torch.Generator().manual_seed(seed)
        self.interests = Interests(config, data, vectors[1], neighbors, generator)
        self.encoder = _encoder(config, generator)
        self._hidden = HiddenEdges(self.interests.propagation.adjacency, data.num_users)
        self._catalogue = torch.arange(data.num_users, data.num_users + data.num_items)  # (I,) nodes

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[TurnBatch[SequenceBatch]]:
        """See `Trainable.epoch`."""
        return take_turns(self._sampler.epoch(generator), generator)

    def loss(self, batch: TurnBatch[SequenceBatch], noise: torch.Generator) -> torch.Tensor:
        """Softmax over all items at every event + reg · L2 + the loss whose turn it is."""
        config, interests, asked = self._config, self.interests, batch.batch
        layer_zero = interests.layer_zero()
        device = layer_zero.device
        users, lines, targets = (
            torch.from_numpy(of).to(device) for of in (asked.rows, asked.lines, asked.targets)
        )
        final, first = self._propagation(users).rows(layer_zero, self._catalogue.to(device))  # (I, d) each
        items = normalize(final, dim=1)
        states = self.encoder(items, asked.sequences, noise)  # (T, d)
        groups, own = interests.groups(asked.rows)  # (b, d) each
        penalty = l2_penalty(first.index_select(0, targets), len(targets))
        if config.group_weight:
            states = states + config.group_weight * groups.index_select(0, lines)
            penalty = penalty + l2_penalty(own, len(targets))
        loss = catalogue_cross_entropy(states / config.softmax_temperature, items, targets)
        return loss + config.reg * penalty + self._agreement(batch, final, groups)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) query + w h_u of all training histories, and (I, d) item vectors of length 1."""
        items = normalize(self.interests.individual()[1], dim=1)
        states = history_states(self.encoder, items, self._histories, np.arange(len(self._histories)))
        return states + self._config.group_weight * self.interests.groups.everything(), items

    def _propagation(self, users: torch.Tensor) -> Propagation:
        whole = self.interests.propagation
        if self._config.hidden_edges == "none":
            return whole
        return Propagation(self._hidden.without(whole.adjacency, users), whole.num_layers)

    def _agreement(
        self, batch: TurnBatch[SequenceBatch], items: torch.Tensor, groups: torch.Tensor
    ) -> torch.Tensor:
        """Of users at even distances in the batch, which is sorted by length; items: (I, d) E."""
        config, asked = self._config, batch.batch
        if not config.weight_of(batch.turn):
            return items.new_zeros(())
        count = min(config.aligned_users, len(asked.rows))
        aligned = np.arange(count) * len(asked.rows) // count  # (m,) places, distinct
        places = torch.from_numpy(aligned).to(items.device)
        if batch.turn == "distil":
            users = torch.from_numpy(asked.rows[aligned]).to(items.device)
            teachers = self.interests.individual()[0].index_select(0, users)
        else:
            read = np.isin(asked.lines, aligned)
            events = torch.from_numpy(asked.sequences.items[read]).to(items.device)
            lines = torch.from_numpy(np.searchsorted(aligned, asked.lines[read])).to(items.device)
            teachers = means_of(items.index_select(0, events), lines, count)
        return self.interests.agreement(batch.turn, teachers, groups.index_select(0, places))


def new_encoder(config: SequentialConfig) -> HistoryQuery:
    """An encoder whose weights are about to be loaded."""
    return _encoder(config, torch.Generator())


def _encoder(config: SequentialConfig, generator: torch.Generator) -> HistoryQuery:
    return HistoryQuery(
        config.pooling,
        embedding_dim=config.embedding_dim,
        max_length=config.max_length,
        dropout=config.dropout,
        generator=generator,
    )

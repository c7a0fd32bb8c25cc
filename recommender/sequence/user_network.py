"""What models share that read the newest items of a history beside a vector of whose history it is.

    score(u, history, i) = <state of v_u and of the newest events, w_i>
    loss = mean over all events that have a next one, i, of
        softmax   -log softmax_i(score / τ)                                 ours: the loss of all such models
        bpr       -log sigmoid(score_i - the highest score_j)               FPMC's and HGN's
        bce       -log sigmoid(score_i) - mean log(1 - sigmoid(score_j))    Caser's

j: M items drawn uniformly, any but i (the papers': none that the user had). Letters: U users, I items, T
events of a batch, d embedding_dim, r and D: `recommender.sequence.item_tables`.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from pydantic import Field, model_validator

from recommender.data import Histories, IntArray, TrainingData
from recommender.sequence.item_tables import (
    ItemTables,
    as_long_as,
    fused_tables,
    mean_penalty,
    next_item_loss,
)
from recommender.sequence.network import SessionConfig
from recommender.sequence.sequences import SequenceBatch, Sequences, SequenceSampler, newest_events
from recommender.text.layer_zero import NodeVectors
from recommender.training.losses import bce_loss, bpr_loss
from recommender.training.other_items import other_items

_EVENTS_AT_A_TIME = 16_384


class UserSequenceConfig(SessionConfig):
    """Settings of models that know users beside their newest items."""

    reg: float = Field(
        default=0.0, ge=0, description="Weight of the L2 penalty on a batch's item and user vectors."
    )
    objective: Literal["softmax", "bpr", "bce"] = Field(
        default="softmax", description="Loss of an event: over the whole catalogue, or over drawn negatives."
    )
    num_negatives: int = Field(
        default=1, ge=1, description="Negatives M per event. With bpr only the highest scored one counts."
    )

    @model_validator(mode="after")
    def _negatives_are_drawn(self) -> "UserSequenceConfig":
        if self.objective == "softmax" and self.num_negatives != 1:
            raise ValueError(
                f"num_negatives={self.num_negatives} has no effect with objective=softmax, which draws none; "
                "set objective=bpr or objective=bce, or leave it out"
            )
        return self


class UserEncoder(Protocol):
    """A `torch.nn.Module` that reads histories of known users."""

    @property
    def max_length(self) -> int:
        """Newest events of a history that are read."""
        ...

    @property
    def num_tables(self) -> int:
        """Tables of items, of which it reads the last; the others are ranked by."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """All its weights."""
        ...

    def __call__(
        self,
        items: torch.Tensor,
        sequences: Sequences,
        users: torch.Tensor,
        noise: torch.Generator | None = None,
    ) -> torch.Tensor:
        """(T, r) states of all events, from (I, D) item vectors and (T, d) vectors of whose event each is.

        With a temperature they are of length 1; with dropout if there is noise.
        """
        ...


NewUserEncoder: TypeAlias = Callable[[Any, torch.Generator], UserEncoder]
"""(config, generator of the first weights) → an encoder on the CPU."""


class UserSequenceNetwork(torch.nn.Module):
    """The trainable part.

    Args:
        new_encoder: Makes the part that reads histories.
        config: Settings.
        data: Its training histories are learned from.
        vectors: Projected vectors of items; those of users are not read.
        seed: Of the first weights.
    """

    def __init__(
        self,
        new_encoder: NewUserEncoder,
        config: UserSequenceConfig,
        data: TrainingData,
        vectors: NodeVectors,
        seed: int,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._config = config
        self._histories = data.histories
        self._sampler = SequenceSampler(data.histories, config.batch_size, config.max_length)
        self.encoder = new_encoder(config, generator)
        num_tables = self.encoder.num_tables
        tables = fused_tables(
            config, num_tables, num_items=data.num_items, vectors=vectors[1], generator=generator
        )
        self.items = ItemTables(tables, num_ranked=num_tables - 1, temperature=config.temperature)
        users = torch.randn(data.num_users, config.embedding_dim, generator=generator) * config.init_std
        self.users = torch.nn.Parameter(users)  # (U, d) v

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[SequenceBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """The objective + reg · half the mean squared length of next items' vectors and of users'."""
        first = self.items.first()
        items = self.items.scored(first)
        rows = torch.from_numpy(batch.rows[batch.lines]).to(items.device)
        targets = torch.from_numpy(batch.targets).to(items.device)
        users = self.users.index_select(0, rows)  # (T, d)
        loss = self._objective(self.encoder(items, batch.sequences, users, noise), items, targets, noise)
        if self._config.reg:
            of_users = users.square().sum() / (2 * len(targets))
            loss = loss + self._config.reg * (mean_penalty(first, targets) + of_users)
        return loss

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, D) states of all training histories, zero where there is none, and (I, D) item vectors."""
        items, rows = self.items(), np.arange(len(self._histories))
        states = user_history_states(self.encoder, items, self._histories, rows, self.users)
        return states, items.clone()

    def _objective(
        self, states: torch.Tensor, items: torch.Tensor, targets: torch.Tensor, noise: torch.Generator
    ) -> torch.Tensor:
        config = self._config
        if config.objective == "softmax":
            return next_item_loss(states, items, targets, config.temperature)
        asked = states / (config.temperature or 1.0)
        drawn = other_items(targets, len(items), config.num_negatives, noise)  # (T, M)
        ranked = items[:, : states.shape[1]]
        positive = (asked * ranked.index_select(0, targets)).sum(dim=1)  # (T,)
        others = ranked.index_select(0, drawn.flatten()).view(*drawn.shape, -1)  # (T, M, r)
        negatives = (asked.unsqueeze(1) * others).sum(dim=2)
        if config.objective == "bce":
            return bce_loss(positive, negatives)
        return bpr_loss(positive, negatives.amax(dim=1))


@torch.no_grad()
def user_history_states(
    encoder: UserEncoder, items: torch.Tensor, histories: Histories, rows: IntArray, users: torch.Tensor
) -> torch.Tensor:
    """The newest state of some histories, about 16,000 events at a time.

    Args:
        encoder: On the device of ``items``.
        items: (I, D).
        histories: One per row.
        rows: (n,) int64.
        users: (n, d) vectors of whose history each is.

    Returns:
        (n, D) on that device; zero where a history is empty.
    """
    states = items.new_zeros(len(rows), items.shape[1])
    lengths = np.minimum(histories.lengths[rows], encoder.max_length)
    known = np.flatnonzero(lengths)
    full = np.arange(_EVENTS_AT_A_TIME, int(lengths.sum()), _EVENTS_AT_A_TIME)
    for part in np.split(known, np.searchsorted(np.cumsum(lengths[known]), full)):
        sequences, order = newest_events(histories, rows[part], encoder.max_length)
        places = torch.from_numpy(part[order]).to(items.device)
        if len(places):
            counts = torch.from_numpy(sequences.lengths).to(items.device)
            of_events = users.index_select(0, places.repeat_interleave(counts))
            found = encoder(items, sequences, of_events)
            newest = torch.from_numpy(sequences.newest).to(items.device)
            states[places] = as_long_as(items, found.index_select(0, newest))
    return states

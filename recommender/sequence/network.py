"""What models of sessions share: item vectors, a softmax over the catalogue at every event, training.

A session is the history of whoever had it: a user of the release. Each model's file says how it reads
sessions, and is put together at its end:

    Model = session_model("gru4rec", Encoder)

    score(session, i) = <s, E_i>
    loss = mean over all events that have a next one of -log softmax_i <s, E_i>

E (I, d) are item vectors, s the state of a session: one item table for what is read and what is ranked. With
a temperature τ both are normalised, a score is a cosine, and the softmax is that of cosines / τ.

The loss is the one of SR-GNN and of most that came after it; a batch is made of sessions with all of their
prefixes, not of prefixes drawn one by one (ours: a state of a recurrent model is computed once).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import normalize

from recommender.data import TrainingData
from recommender.sequence.model import Encoder, SequenceModel, history_states
from recommender.sequence.sequences import SequenceBatch, Sequences, SequenceSampler
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.embedding_config import EmbeddingConfig
from recommender.training.full_softmax import catalogue_cross_entropy


class SessionConfig(EmbeddingConfig):
    """Settings of models of sessions."""

    batch_size: int = Field(
        default=2048, ge=1, description="Events with a next item per optimiser step, on average."
    )
    epochs: int = Field(default=40, ge=1, description="Passes over the training sessions at most.")
    learning_rate: float = Field(default=0.003, gt=0, description="Step size of Adam.")
    eval_every: int = Field(default=2, ge=1, description="Epochs between two validations.")
    init_std: float = Field(default=0.07, gt=0, description="Standard deviation s of new ID embeddings.")
    reg: float = Field(default=0.0, ge=0, description="Weight of the L2 penalty on a batch's item vectors.")
    max_length: int = Field(default=50, ge=1, description="Newest events of a session that are read.")
    dropout: float = Field(
        default=0.3, ge=0, lt=1, description="Chance of a value of an item vector that is read to be dropped."
    )
    temperature: float | None = Field(
        default=None, gt=0, description="τ of cosine scores; none for inner products."
    )


class SessionEncoder(Encoder, Protocol):
    """An `Encoder` that learns."""

    def __call__(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        """(T, d) states of all events; with dropout if there is noise."""
        ...


NewEncoder: TypeAlias = Callable[[Any, torch.Generator], SessionEncoder]
"""(config, generator of the first weights) → an encoder on the CPU."""


class SessionNetwork(torch.nn.Module):
    """The trainable part. U users, I items, T events of a batch, d embedding_dim.

    Args:
        new_encoder: Makes the part that reads sessions.
        config: Settings.
        data: Its training histories are learned from.
        vectors: Projected vectors of items; those of users are not read.
        seed: Of the first weights.
    """

    def __init__(
        self,
        new_encoder: NewEncoder,
        config: SessionConfig,
        data: TrainingData,
        vectors: NodeVectors,
        seed: int,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._config = config
        self._histories = data.histories
        self._sampler = SequenceSampler(data.histories, config.batch_size, config.max_length)
        self.layer_zero = LayerZero(
            config, num_users=0, num_items=data.num_items, item_vectors=vectors[1], generator=generator
        )
        self.encoder = _scored_encoder(new_encoder, config, generator)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[SequenceBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """Softmax over all items at every event + reg · half the mean squared length of targets' vectors."""
        config = self._config
        items, first = self._item_vectors()
        states = self.encoder(items, batch.sequences, noise)
        targets = torch.from_numpy(batch.targets).to(items.device)
        loss = catalogue_cross_entropy(states / (config.temperature or 1.0), items, targets)
        if config.reg:
            wanted = first.index_select(0, targets)
            loss = loss + config.reg * wanted.square().sum() / (2 * len(targets))
        return loss

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) states of all training sessions, zero where there is none, and (I, d) item vectors."""
        items, _ = self._item_vectors()
        rows = np.arange(len(self._histories))
        return history_states(self.encoder, items, self._histories, rows), items.clone()

    def _item_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(I, d) E, and the vectors before they are normalised."""
        first = self.layer_zero()
        return (first if self._config.temperature is None else normalize(first, dim=1)), first


class _UnitStates(torch.nn.Module):
    """An encoder whose states are normalised; a state of zeros stays."""

    def __init__(self, encoder: SessionEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.max_length = encoder.max_length

    def forward(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        return normalize(self.encoder(items, sequences, noise), dim=1)


def session_model(name: str, new_encoder: NewEncoder) -> Callable[[Any], SequenceModel]:
    """What a model's file calls ``Model``.

    Args:
        name: The file name.
        new_encoder: Makes the part that reads sessions.
    """

    def blank_encoder(config: SessionConfig) -> SessionEncoder:
        return _scored_encoder(new_encoder, config, torch.Generator())

    return partial(SequenceModel, name, partial(SessionNetwork, new_encoder), blank_encoder)


def _scored_encoder(
    new_encoder: NewEncoder, config: SessionConfig, generator: torch.Generator
) -> SessionEncoder:
    encoder = new_encoder(config, generator)
    return encoder if config.temperature is None else _UnitStates(encoder)

"""What models share that read histories and learn in a way of their own: items, an encoder that has a loss.

`recommender.sequence.network` is for models that learn by a softmax over one table of items. Here a
model says what items are and what its loss is, and is put together at the end of its file:

    Model = catalogue_model("bert4rec", new_items, Encoder)

    score(history, i) = <state of the newest event, vector of i>

Letters: U users, I items, T events of a batch, D columns of item vectors.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from recommender.data import FloatArray, TrainingData
from recommender.sequence.item_tables import mean_penalty
from recommender.sequence.model import Encoder, SequenceModel, history_states
from recommender.sequence.sequences import SequenceBatch, SequenceSampler
from recommender.text.layer_zero import NodeVectors


class LearningEncoder(Encoder, Protocol):
    """An `Encoder` that knows its loss."""

    def loss(self, items: torch.Tensor, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """The loss of one batch.

        Args:
            items: (I, D) item vectors, with gradients.
            batch: Histories.
            noise: Source of dropout and of all else that is random.

        Returns:
            A scalar.
        """
        ...


class CatalogueConfig(Protocol):
    """Settings that are read here."""

    @property
    def batch_size(self) -> int:
        """Events with a next item per optimiser step, on average."""
        ...

    @property
    def max_length(self) -> int:
        """Newest events of a history that are read."""
        ...

    @property
    def reg(self) -> float:
        """Weight of the L2 penalty on a batch's item vectors."""
        ...


class Items(Protocol):
    """A `torch.nn.Module` of (I, D) item vectors."""

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """All its weights."""
        ...

    def __call__(self) -> torch.Tensor:
        """(I, D), with gradients."""
        ...

    def first(self) -> list[torch.Tensor]:
        """(I, d) of each table, before they are made as long as others, or points: what is penalised."""
        ...

    def scored(self, first: list[torch.Tensor]) -> torch.Tensor:
        """(I, D) of what `first` gave."""
        ...


NewItems: TypeAlias = Callable[[Any, int, FloatArray | None, torch.Generator], Items]
"""(config, I, projected vectors of items, generator of the first weights) → a module."""
NewEncoder: TypeAlias = Callable[[Any, torch.Generator], LearningEncoder]
"""(config, generator of the first weights) → an encoder on the CPU."""


@dataclass(frozen=True, slots=True)
class CatalogueParts:
    """What a model is made of.

    Attributes:
        new_items: Makes the items.
        new_encoder: Makes the part that reads histories.
    """

    new_items: NewItems
    new_encoder: NewEncoder


class CatalogueNetwork(torch.nn.Module):
    """The trainable part.

    Args:
        parts: Of the model.
        config: Settings.
        data: Its training histories are learned from.
        vectors: Projected vectors of items; those of users are not read.
        seed: Of the first weights.
    """

    def __init__(
        self,
        parts: CatalogueParts,
        config: CatalogueConfig,
        data: TrainingData,
        vectors: NodeVectors,
        seed: int,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._reg = config.reg
        self._histories = data.histories
        self._sampler = SequenceSampler(data.histories, config.batch_size, config.max_length)
        self.items = parts.new_items(config, data.num_items, vectors[1], generator)
        self.encoder = parts.new_encoder(config, generator)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[SequenceBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """The encoder's loss + reg · half the mean squared length of the next items' vectors."""
        first = self.items.first()
        items = self.items.scored(first)
        loss = self.encoder.loss(items, batch, noise)
        if self._reg:
            targets = torch.from_numpy(batch.targets).to(items.device)
            loss = loss + self._reg * mean_penalty(first, targets)
        return loss

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, D) states of all training histories, zero where there is none, and (I, D) item vectors."""
        items = self.items()
        rows = np.arange(len(self._histories))
        return history_states(self.encoder, items, self._histories, rows), items.clone()


def catalogue_model(
    name: str, new_items: NewItems, new_encoder: NewEncoder
) -> Callable[[Any], SequenceModel]:
    """What a model's file calls ``Model``.

    Args:
        name: The file name.
        new_items: Makes the items.
        new_encoder: Makes the part that reads histories.
    """

    def blank_encoder(config: CatalogueConfig) -> LearningEncoder:
        return new_encoder(config, torch.Generator())

    parts = CatalogueParts(new_items, new_encoder)
    return partial(SequenceModel, name, partial(CatalogueNetwork, parts), blank_encoder)

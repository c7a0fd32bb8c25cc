"""Several vectors of every item: some are ranked by, some are only read.

Models older than the habit of one table for both have a vector of an item for each part that it plays. Tables
stand side by side, those that are ranked by first, so that a saved model has one array of item vectors; a
state is as long as what is ranked, and zero beyond it.

Letters: I items, T events, r columns that are ranked by, D columns of all tables.
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import normalize, pad

from recommender.data import FloatArray
from recommender.text.layer_zero import LayerZero
from recommender.training.embedding_config import EmbeddingConfig
from recommender.training.full_softmax import catalogue_cross_entropy


class ItemTables(torch.nn.Module):
    """(I, D) vectors.

    Args:
        tables: Modules, each of (I, d) vectors.
        num_ranked: How many of them, the first, are ranked by.
        temperature: None for inner products; with one, the ranked part of an item is of length 1.
    """

    def __init__(
        self, tables: Sequence[torch.nn.Module], *, num_ranked: int, temperature: float | None
    ) -> None:
        super().__init__()
        self.tables = torch.nn.ModuleList(tables)
        self._num_ranked = num_ranked
        self._temperature = temperature

    def forward(self) -> torch.Tensor:
        """(I, D), with gradients."""
        return self.scored(self.first())

    def first(self) -> list[torch.Tensor]:
        """(I, d) of each table, as long as they are."""
        return [table() for table in self.tables]

    def scored(self, first: list[torch.Tensor]) -> torch.Tensor:
        """(I, D) of what `first` gave."""
        ranked = torch.cat(first[: self._num_ranked], dim=1)  # (I, r)
        if self._temperature is not None:
            ranked = normalize(ranked, dim=1)
        return torch.cat([ranked, *first[self._num_ranked :]], dim=1)


def fused_tables(
    config: EmbeddingConfig,
    num_tables: int,
    *,
    num_items: int,
    vectors: FloatArray | None,
    generator: torch.Generator,
) -> list[LayerZero]:
    """Tables that texts of items join, each on its own, as the settings' fusion says.

    Args:
        config: Gives d, s and the fusion.
        num_tables: How many.
        num_items: I.
        vectors: (I, d') float32 Ẽ of items, or None.
        generator: Of the first weights.
    """
    return [
        LayerZero(config, num_users=0, num_items=num_items, item_vectors=vectors, generator=generator)
        for _ in range(num_tables)
    ]


def mean_penalty(first: Sequence[torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
    """Half the mean squared length of the targets' vectors, before any is made as long as others.

    Args:
        first: (I, d) of each table.
        targets: (T,) int64 item rows.
    """
    squares = [table.index_select(0, targets).square().sum() for table in first]
    return torch.stack(squares).sum() / (2 * len(targets))


def as_long_as(items: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """(T, D) states, zero where (I, D) items are not ranked by, from (T, r)."""
    return pad(states, (0, items.shape[1] - states.shape[1]))


def next_item_loss(
    states: torch.Tensor, items: torch.Tensor, targets: torch.Tensor, temperature: float | None
) -> torch.Tensor:
    """Mean of -log softmax of the targets among all items.

    Args:
        states: (T, r), of length 1 if there is a temperature.
        items: (I, D).
        targets: (T,) int64 item rows.
        temperature: τ that scores are divided by; None for none.
    """
    ranked = items[:, : states.shape[1]].contiguous()
    return catalogue_cross_entropy(states / (temperature or 1.0), ranked, targets)

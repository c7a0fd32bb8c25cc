"""Alignment of the batch's users and items with their texts: settings, and all state that it needs.

See `recommender.text.alignment` for the loss and `recommender.text.momentum` for the queue. Our
reconstruction (RecMind does not say): B_U and B_I are the users and items of the first pairs of a batch, each
once, for a step that aligned all of them would cost many times its propagation; queued keys of z^L come from
a moving average of W and the MLP, those of z^G from the weights as they were; hard negatives are the nearest
by the cosine of frozen text vectors, found once.
"""

from typing import Literal, TypeAlias

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import normalize

from recommender.graph.gated_propagation import GatedRows
from recommender.text.alignment import Negatives, absent_from, nearest_by_cosine, symmetric_info_nce
from recommender.text.momentum import KeyQueue, MovingAverage
from recommender.text.node_texts import TextVectors
from recommender.training.ranking_loss import RankingConfig
from recommender.training.sampling import PairBatch

Sides: TypeAlias = Literal["both", "users", "items", "none"]
"""Whose vectors are aligned."""


class AlignmentConfig(RankingConfig):
    """Settings of the alignment."""

    align: Sides = Field(default="both", description="Whose vectors of graph and text are aligned.")
    alignment_weight: float = Field(default=0.01, ge=0, description="Weight λ of the alignment.")
    temperature: float = Field(default=0.2, gt=0, description="Temperature τ of the alignment.")
    alignment_pairs: int = Field(
        default=128, ge=1, description="Pairs of a batch whose user and item are aligned."
    )
    queue_size: int = Field(default=8192, ge=1, description="Queued nodes K per side, at most all.")
    momentum: float = Field(default=0.995, ge=0, le=1, description="Share m that queued keys keep per step.")
    hard_negatives: int = Field(default=32, ge=0, description="Nearest nodes h that each node is told from.")


class AlignedSides(torch.nn.Module):
    """L_U + L_I and what outlives a batch. m nodes of one side, N of both, d embedding_dim.

    Args:
        config: Settings.
        text: The vectors z^L; followed by a moving average.
    """

    def __init__(self, config: AlignmentConfig, text: TextVectors) -> None:
        super().__init__()
        wanted = {"both": (0, 1), "users": (0,), "items": (1,), "none": ()}[config.align]
        self.average = MovingAverage(text, config.momentum)
        self.sides = torch.nn.ModuleDict({str(side): _Side(config, text, side) for side in wanted})
        self._num_users = len(text.has_text[0])
        self._num_pairs = config.alignment_pairs

    def nodes(self, batch: PairBatch) -> list[torch.Tensor]:
        """Node rows to be aligned, of each aligned side: (m,) int64, each once, ascending."""
        users, items = batch.users[: self._num_pairs], batch.positives[: self._num_pairs] + self._num_users
        return [torch.from_numpy(np.unique((users, items)[int(side)])) for side in self.sides]

    def loss(
        self, rows: GatedRows, nodes: list[torch.Tensor], table: torch.Tensor, text: TextVectors
    ) -> torch.Tensor:
        """L_U + L_I, as far as they are wanted: a scalar. Queues take in the new keys.

        Args:
            rows: Read at the nodes of all sides, one side after the other.
            nodes: What `nodes` gave, on the network's device.
            table: (N, d) z^L of all nodes.
            text: What made the table.
        """
        sizes = [len(side) for side in nodes]
        total = rows.means.new_zeros(())
        found = zip(self.sides.items(), nodes, rows.means.split(sizes), rows.text.split(sizes), strict=True)
        for (name, side), own, graph, own_text in found:
            assert isinstance(side, _Side)
            number = int(name)
            first = number * self._num_users
            own_tables = (every.detach()[first : first + side.size] for every in (rows.all_means, table))
            total = total + side.loss(own - first, graph, own_text, *own_tables)
            keys = self._queued_text(text, number, own - first)
            side.queue.push(own - first, graph.detach(), keys)
        return total

    def follow(self, text: TextVectors) -> None:
        """One step of the moving average; after every optimiser step."""
        self.average.update(text)

    @torch.no_grad()
    def _queued_text(self, text: TextVectors, number: int, places: torch.Tensor) -> torch.Tensor:
        weights = self.average.weights()
        return torch.func.functional_call(text, weights, (number, places), tie_weights=False)


class _Side(torch.nn.Module):
    """Queue and hard negatives of the users, or of the items."""

    hard: torch.Tensor

    def __init__(self, config: AlignmentConfig, text: TextVectors, number: int) -> None:
        super().__init__()
        self.size = len(text.has_text[number])
        self.queue = KeyQueue(min(config.queue_size, self.size), config.embedding_dim)
        hard = nearest_by_cosine(text.frozen(number), config.hard_negatives)
        self.register_buffer("hard", hard, persistent=False)  # (n, h)
        self._temperature = config.temperature

    def loss(
        self,
        places: torch.Tensor,
        graph: torch.Tensor,
        text: torch.Tensor,
        graph_table: torch.Tensor,
        text_table: torch.Tensor,
    ) -> torch.Tensor:
        """Symmetric InfoNCE of (m,) places; gradients reach their (m, d) vectors, not the (n, d) tables."""
        others = self.queue.others(places)  # (K,)
        nearest = self.hard.index_select(0, places)  # (m, h)
        is_hard = absent_from(nearest, places, self.queue.nodes)
        hard = nearest[is_hard]  # (p,)
        units = [normalize(table.index_select(0, hard), dim=1) for table in (graph_table, text_table)]
        return symmetric_info_nce(
            graph,
            text,
            graph_negatives=Negatives(self.queue.graph, others, units[0], is_hard),
            text_negatives=Negatives(self.queue.text, others, units[1], is_hard),
            temperature=self._temperature,
        )

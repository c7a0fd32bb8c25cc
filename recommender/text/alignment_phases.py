"""Two phases of training: texts learn to agree with the graph first, then everything learns.

RecMind (arXiv 2509.06286), eq. 10, E the ID embeddings:

    phase 1     L_U + L_I + fallback      E is no parameter of it, and stays to the bit
    phase 2     BPR + λ (L_U + L_I) + β L2 of the batch's rows of E

Our reconstruction is the fallback's loss: a share of the nodes that have a text hides it, and the mean of
1 - cos(z by the MLP, z by W) over them is added; z by W is the aim and gets no gradient of it. A hidden text
is hidden from neighbours and from the gates, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import cosine_similarity

from recommender.graph.gated_propagation import GatedRows
from recommender.graph.nodes import batch_rows
from recommender.text.aligned_sides import AlignedSides, AlignmentConfig
from recommender.text.node_texts import TextVectors
from recommender.training.ranking_loss import ranking_loss
from recommender.training.sampling import PairBatch


class PhasedConfig(AlignmentConfig):
    """Settings of both phases."""

    alpha: float = Field(
        default=0.8, ge=0, le=1, description="Share of z^G in the final vector; the text's is the rest."
    )
    alignment_epochs: int = Field(default=5, ge=0, description="Epochs T_w of phase 1; 0 leaves it out.")
    hidden_share: float = Field(
        default=0.1, ge=0, lt=1, description="Texts that phase 1 hides to train the MLP of nodes without one."
    )


class TextNetwork(Protocol):
    """A `torch.nn.Module` of ID embeddings ``ids`` and text vectors."""

    text: TextVectors

    @property
    def num_users(self) -> int:
        """U."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """All weights."""
        ...

    def read(
        self, table: torch.Tensor, ranked: torch.Tensor, aligned: torch.Tensor, *, ids_learn: bool
    ) -> GatedRows:
        """Propagate, and gather (m,) and (a,) int64 node rows, given (N, d) z^L."""
        ...

    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See `recommender.training.trainer.Trainable.score_vectors`."""
        ...


class PairSource(Protocol):
    """Batches of training pairs."""

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """One pass, in random order."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What both phases train, one after the other.

    Attributes:
        config: Settings.
        network: The weights.
        sides: What is aligned, with its queues and its moving average.
        pairs: Where batches come from.
    """

    config: PhasedConfig
    network: TextNetwork
    sides: AlignedSides
    pairs: PairSource

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """Batches; the moving average takes a step after each."""
        for batch in self.pairs.epoch(generator):
            yield batch
            self.sides.follow(self.network.text)

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Of the network, of the moving average and the queues."""
        for part, module in (("network", self.network), ("sides", self.sides)):
            yield from ((f"{part}.{name}", weight) for name, weight in module.named_parameters())

    def aligned_nodes(self, batch: PairBatch, device: torch.device) -> list[torch.Tensor]:
        """Node rows of each aligned side."""
        return [rows.to(device) for rows in self.sides.nodes(batch)]


class AlignmentPhase:
    """Phase 1, see `recommender.training.trainer.Trainable`. The network's ``ids`` do not learn."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._parts.pairs.num_batches

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """All but the ID embeddings."""
        return (named for named in self._parts.named_parameters() if named[0] != "network.ids")

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`."""
        return self._parts.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """L_U + L_I + the fallback's loss."""
        network, sides = self._parts.network, self._parts.sides
        known = torch.cat(network.text.has_text)  # (N,)
        drawn = torch.rand(len(known), generator=noise, device=known.device)
        hidden = known & (drawn < self._parts.config.hidden_share)
        table = network.text.table(hidden)
        nodes = self._parts.aligned_nodes(batch, table.device)
        read = network.read(table, *_joined(table, [], nodes), ids_learn=False)
        return sides.loss(read, nodes, table, network.text) + fallback_loss(network.text, table, hidden)

    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Trainable.score_vectors`."""
        return self._parts.network.score_vectors()


class JointPhase:
    """Phase 2, see `recommender.training.trainer.Trainable`. Everything learns, from what phase 1 left."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._parts.pairs.num_batches

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """See `Parts.named_parameters`."""
        return self._parts.named_parameters()

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`."""
        return self._parts.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """BPR + λ (L_U + L_I) + β L2."""
        del noise
        config, network, sides = self._parts.config, self._parts.network, self._parts.sides
        table = network.text.table()
        pairs = batch_rows(batch, network.num_users).to(table.device)  # (b · (2 + M),)
        nodes = self._parts.aligned_nodes(batch, table.device)
        read = network.read(table, *_joined(table, [pairs], nodes), ids_learn=True)
        penalty = config.reg * read.squares / (2 * len(batch))  # see `recommender.training.losses.l2_penalty`
        alignment = sides.loss(read, nodes, table, network.text)
        return ranking_loss(config, read.final, len(batch)) + config.alignment_weight * alignment + penalty

    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Trainable.score_vectors`."""
        return self._parts.network.score_vectors()


def fallback_loss(text: TextVectors, table: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Mean of 1 - cos(z by the MLP, z by W) over hidden nodes; 0 if none is hidden.

    Args:
        text: The vectors.
        table: (N, d) what `TextVectors.table` made of ``hidden``.
        hidden: (N,) bool.
    """
    aims: list[torch.Tensor] = []
    for number, side in enumerate(hidden.split([len(known) for known in text.has_text])):
        places = side.nonzero().squeeze(1)
        if len(places):
            aims.append(text(number, places).detach())
    if not aims:
        return table.sum() * 0.0
    return (1 - cosine_similarity(table[hidden], torch.cat(aims))).mean()


def _joined(table: torch.Tensor, *groups: list[torch.Tensor]) -> list[torch.Tensor]:
    """Each group of rows in one; no rows of an empty group."""
    none = torch.zeros(0, dtype=torch.int64, device=table.device)
    return [torch.cat([none, *rows]) for rows in groups]

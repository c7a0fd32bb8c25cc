"""Individual and group interests, and what makes them agree: all of ISRF but the ranking.

ISRF (arXiv 2603.13934): E is LightGCN over users and items (eq. 3-4, `recommender.interests.first_layer`),
H is LightGCN over users (eq. 7, `recommender.interests.groups`), and batches take turns:

    distil      λ_DS · L_DS    h_u learns from e_u, which gets no gradient           eq. 8
    sequence    λ_SA · L_SA    h_u and z_u, the mean of E over u's items, agree      eq. 9

In the paper a batch of the direct task distils, one of the sequential task aligns sequences, and the tasks
take turns. Ours: a model has one task, and its own batches take turns, beginning with either. τ, λ and the
number of users aligned at a time are ours, too: the paper gives no λ, and its batches hold 64.

Letters: U users, I items, N = U + I nodes, m aligned users, d embedding_dim.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from pydantic import Field

from recommender.data import FloatArray, IntArray, TrainingData
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import Propagation, layer_mean
from recommender.interests.agreement import AlignForm, align
from recommender.interests.first_layer import InterestLayer, InterestLayerConfig
from recommender.interests.groups import GroupInterests
from recommender.interests.user_graph import UserGraph

BatchT = TypeVar("BatchT")
Turn: TypeAlias = Literal["distil", "sequence"]
TURNS: Final[tuple[Turn, Turn]] = ("distil", "sequence")


class InterestConfig(InterestLayerConfig):
    """Settings of interests and of their agreement."""

    num_layers: int = Field(default=3, ge=0, description="Propagation layers L over users and items.")
    user_graph: UserGraph = Field(
        default="features",
        description="Who users resemble: features (the release's vectors), interactions, random, or none.",
    )
    num_neighbors: int = Field(default=100, ge=1, description="Neighbours K of a user in that graph.")
    group_layers: int = Field(
        default=1, ge=0, description="Propagation layers L_u over users; the authors' code has 4."
    )
    group_weight: float = Field(
        default=0.2, ge=0, description="Weight w of H in scores; 0 is the paper's literal form."
    )
    align: AlignForm = Field(
        default="infonce_cos", description="Form of eq. 8-9: the paper's text, or its code (soft_dot)."
    )
    temperature: float = Field(
        default=0.2, gt=0, description="Temperature τ of the alignment; 1 in the authors' code."
    )
    distillation_weight: float = Field(default=0.01, ge=0, description="Weight λ_DS of eq. 8.")
    sequence_weight: float = Field(default=0.01, ge=0, description="Weight λ_SA of eq. 9.")
    aligned_users: int = Field(
        default=128, ge=1, description="Users of a batch that are aligned, and each other's negatives."
    )

    @property
    def reads_vectors(self) -> bool:
        """See `EmbeddingConfig.reads_vectors`; users may be compared by vectors that join no item."""
        return super().reads_vectors or self.user_graph == "features"

    def weight_of(self, turn: Turn) -> float:
        """λ of the loss whose turn it is."""
        return self.distillation_weight if turn == "distil" else self.sequence_weight


@dataclass(frozen=True, slots=True)
class TurnBatch(Generic[BatchT]):
    """A batch of either task, and the loss whose turn it is."""

    batch: BatchT
    turn: Turn


def take_turns(batches: Iterator[BatchT], generator: np.random.Generator) -> Iterator[TurnBatch[BatchT]]:
    """The batches of an epoch with their turns; which loss begins is drawn."""
    first = int(generator.integers(2))
    for number, batch in enumerate(batches):
        yield TurnBatch(batch, TURNS[(first + number) % 2])


class Interests(torch.nn.Module):
    """The weights of both, and eq. 2-4 and 7-9.

    Args:
        config: Settings.
        data: Its training pairs become the graph.
        item_vectors: (I, d') float32 Ẽ, or None.
        neighbors: (U, K) int64 of `recommender.interests.user_graph`.
        generator: Of the first weights.
    """

    def __init__(
        self,
        config: InterestConfig,
        data: TrainingData,
        item_vectors: FloatArray | None,
        neighbors: IntArray,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._config = config
        self.num_users = data.num_users
        self.layer_zero = InterestLayer(
            config,
            num_users=data.num_users,
            num_items=data.num_items,
            item_vectors=item_vectors,
            generator=generator,
        )
        self.propagation = Propagation(training_graph(data), config.num_layers)
        self.groups = GroupInterests(
            neighbors,
            config.group_layers,
            embedding_dim=config.embedding_dim,
            std=config.init_std,
            generator=generator,
        )

    def agreement(self, turn: Turn, teachers: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """λ times the loss whose turn it is.

        Args:
            turn: Which.
            teachers: (m, d) e_u, or z_u, of distinct users.
            groups: (m, d) h_u of the same.
        """
        config = self._config
        given = teachers.detach() if turn == "distil" else teachers
        return config.weight_of(turn) * align(config.align, given, groups, config.temperature)

    @torch.no_grad()
    def individual(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) E, without gradients."""
        final = layer_mean(self.layer_zero(), self.propagation.adjacency, self.propagation.num_layers)
        return final[: self.num_users], final[self.num_users :]


def means_of(vectors: torch.Tensor, lines: torch.Tensor, count: int) -> torch.Tensor:
    """Means of the rows of a line: (m, d) of (n, d) vectors, whose lines (n,) are 0 to m - 1; with gradients.

    Args:
        vectors: (n, d).
        lines: (n,) int64.
        count: m; each line has a row at least.
    """
    sums = vectors.new_zeros(count, vectors.shape[1]).index_add(0, lines, vectors)
    return sums / torch.bincount(lines, minlength=count).unsqueeze(1)

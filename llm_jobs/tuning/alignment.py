"""RecMind's alignment as a tuning objective: a text's vector near the vector that the graph has of its node.

    z^L_v = W_proj z̃^L_v                        RecMind (arXiv 2509.06286), eq. 4
    L = symmetric InfoNCE of z^G_v and z^L_v    eq. 5, both directions: `recommender.text.alignment`

z^G is frozen, so the hard negatives of a node are known before the first step: the h nodes of nearest z^G.
The queue holds z^L by a moving average of W_proj. Our reconstruction: the average leaves the adapter out,
which would cost a second pass through the model; hard negatives are z^G only, for the same reason; a batch
that holds items and users weighs each side by its nodes. Letters: b nodes of a batch, n nodes of a side,
d dimensions of z^G, h hard negatives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import normalize

from featurestore.errors import InputError
from llm_jobs.tuning.base_model import TextVectors, TokenIds
from llm_jobs.tuning.config import Examples, TuningConfig
from llm_jobs.tuning.projection import StandardisedProjection
from recommender.text.alignment import Negatives, absent_from, nearest_by_cosine, symmetric_info_nce
from recommender.text.momentum import KeyQueue, MovingAverage


class AlignmentConfig(TuningConfig):
    """Settings of the alignment, beside those of the loop."""

    temperature: float = Field(default=0.2, gt=0, description="Temperature of InfoNCE.")
    queue_size: int = Field(
        default=8192, ge=1, description="Nodes of each side that the queue holds at most."
    )
    momentum: float = Field(default=0.995, ge=0, lt=1, description="Share that the moving average keeps.")
    num_hard: int = Field(default=32, ge=0, description="Nearest other nodes that are negatives too.")
    held_out_share: float = Field(
        default=0.1, ge=0, lt=1, description="Nodes that alignment is measured on and never tuned on."
    )


@dataclass(frozen=True)
class Pairs:
    """Nodes of one side with both views.

    Attributes:
        inputs: Token ids of each node's text.
        graph: (n, d) float32 z^G.
    """

    inputs: TokenIds
    graph: torch.Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def num_tokens(self) -> int:
        """Tokens of all texts."""
        return sum(map(len, self.inputs))

    def take(self, rows: Sequence[int]) -> "Pairs":
        """Some of them, in that order."""
        return Pairs([self.inputs[row] for row in rows], self.graph[list(rows)])


class AlignmentObjective(torch.nn.Module):
    """See the module's head; an `llm_jobs.tuning.objective.Objective` for a `TextVectors` model.

    Args:
        sides: Items, users, or both: an example is a row of the first side, or else of the next.
        config: Temperature, queue, average, hard negatives.
        projection: W_proj; learns.

    Raises:
        InputError: If no side has two nodes to tell apart.
    """

    def __init__(
        self, sides: Sequence[Pairs], config: AlignmentConfig, projection: StandardisedProjection
    ) -> None:
        super().__init__()
        require_two_nodes(sides)
        self._sides, self._config = tuple(sides), config
        self._ends = np.cumsum([len(side) for side in sides])
        self._hard = [nearest_by_cosine(side.graph, config.num_hard) for side in sides]
        device, width = sides[0].graph.device, sides[0].graph.shape[1]
        self.projection = projection
        self.average = MovingAverage(self.projection, config.momentum)
        self.queues = torch.nn.ModuleList(
            KeyQueue(max(1, min(config.queue_size, len(side))), width).to(device) for side in sides
        )
        self._fresh: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    @property
    def num_examples(self) -> int:
        """See `Objective.num_examples`."""
        return int(self._ends[-1])

    def loss(self, model: TextVectors, examples: Examples) -> torch.Tensor:
        """See `Objective.loss`."""
        losses = [
            self._side_loss(model, number, rows) * (len(rows) / len(examples))
            for number, rows in self._by_side(examples)
        ]
        return torch.stack(losses).sum()

    def after_step(self) -> None:
        """See `Objective.after_step`: the average follows W_proj, the queues take the step's nodes in."""
        self.average.update(self.projection)
        average = self.average.weights()
        for number, rows, pooled in self._fresh:
            keys = torch.func.functional_call(self.projection, average, pooled)
            self._queue(number).push(rows, self._sides[number].graph[rows], keys)
        self._fresh.clear()

    def _by_side(self, examples: Examples) -> Iterator[tuple[int, Examples]]:
        """Sides that have examples in a batch, with the rows of these."""
        of_side = np.searchsorted(self._ends, examples, side="right")
        for number, side in enumerate(self._sides):
            rows = examples[of_side == number] - (self._ends[number] - len(side))
            if len(rows):
                yield number, rows

    def _side_loss(self, model: TextVectors, number: int, examples: Examples) -> torch.Tensor:
        side = self._sides[number]
        rows = torch.from_numpy(examples).to(side.graph.device)  # (b,)
        pooled = model([side.inputs[row] for row in examples.tolist()])  # (b, hidden size)
        self._fresh.append((number, rows, pooled.detach()))
        in_graph, in_text = self._negatives(number, rows)
        with torch.autocast(rows.device.type, enabled=False):  # cosines / temperature need float32
            return symmetric_info_nce(
                side.graph[rows],
                self.projection(pooled),
                graph_negatives=in_graph,
                text_negatives=in_text,
                temperature=self._config.temperature,
            )

    def _negatives(self, number: int, rows: torch.Tensor) -> tuple[Negatives, Negatives]:
        """Of both views, for the nodes of a batch."""
        graph, queue = self._sides[number].graph, self._queue(number)
        is_queued = queue.others(rows)
        near = self._hard[number][rows]  # (b, h)
        is_hard = absent_from(near, rows, queue.nodes[is_queued])
        none = no_negatives(len(rows), graph)
        return (
            Negatives(queue.graph, is_queued, normalize(graph[near[is_hard]], dim=1), is_hard),
            Negatives(queue.text, is_queued, none.hard, none.is_hard),
        )

    def _queue(self, number: int) -> KeyQueue:
        queue = self.queues[number]
        assert isinstance(queue, KeyQueue)
        return queue


@dataclass(frozen=True, slots=True)
class Alignment:
    """How well the two views of some nodes fit.

    Attributes:
        num_nodes: How many.
        loss: Symmetric InfoNCE with all of them as candidates; ln(num_nodes) is chance.
        hit_at_10: Share of texts that have their own z^G among the ten nearest of these.
    """

    num_nodes: int
    loss: float
    hit_at_10: float


def measure_alignment(text: torch.Tensor, graph: torch.Tensor, *, temperature: float) -> Alignment:
    """Compare z^L of nodes with their z^G.

    Args:
        text: (n, d) z^L, n ≥ 1.
        graph: (n, d) z^G of the same nodes.
        temperature: As tuned.
    """
    none = no_negatives(len(text), graph)
    loss = symmetric_info_nce(graph, text, graph_negatives=none, text_negatives=none, temperature=temperature)
    cosines = normalize(text, dim=1) @ normalize(graph, dim=1).T  # (n, n)
    num_nearer = (cosines > cosines.diagonal().unsqueeze(1)).sum(dim=1)  # (n,)
    return Alignment(len(text), float(loss), float((num_nearer < 10).float().mean()))


def require_two_nodes(sides: Sequence[Pairs]) -> None:
    """Refuse to align what nothing can be told from.

    Raises:
        InputError: If no side has two nodes.
    """
    if max(len(side) for side in sides) < 2:
        raise InputError(
            "alignment tells at least two nodes apart, but fewer have both a text and a vector.",
            hint="Do the texts and the vectors describe the same entities?",
        )


def no_negatives(count: int, graph: torch.Tensor) -> Negatives:
    """Negatives of ``count`` nodes that have none but each other."""
    nothing = graph.new_zeros(0, graph.shape[1])
    is_none = torch.zeros(count, 0, dtype=torch.bool, device=graph.device)
    return Negatives(nothing, is_none.new_zeros(0), nothing, is_none)

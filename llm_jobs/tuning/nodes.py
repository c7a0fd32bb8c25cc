"""Which nodes an alignment is tuned on, and which it is measured on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from featurestore.ids import ExternalId, digest
from featurestore.spec import Entity
from llm_jobs.tuning.aligned_texts import AlignedSide
from llm_jobs.tuning.alignment import (
    Alignment,
    AlignmentConfig,
    AlignmentObjective,
    Pairs,
    measure_alignment,
    require_two_nodes,
)
from llm_jobs.tuning.base_model import BaseModel, TextVectors, encode
from llm_jobs.tuning.config import tuning_device
from llm_jobs.tuning.projection import StandardisedProjection

_MOST_MEASURED = 2_000
"""Held-out nodes of a side that are measured at most: all are candidates of each other."""
_STANDARDISED_OVER = 1_000
"""Nodes of a side whose states give mean and deviation."""


@dataclass(frozen=True)
class Nodes:
    """Nodes with both views, by side.

    Attributes:
        entities: What the sides are.
        tuned_on: Nodes that are learned from.
        measured_on: Nodes that are held out.
    """

    entities: tuple[Entity, ...]
    tuned_on: tuple[Pairs, ...]
    measured_on: tuple[Pairs, ...]

    def projection(self, model: TextVectors, config: AlignmentConfig, *, seed: int) -> StandardisedProjection:
        """A new W_proj over the states that the model has of these nodes now.

        Raises:
            InputError: If no side has two nodes.
        """
        device, width = self.tuned_on[0].graph.device, self.tuned_on[0].graph.shape[1]
        inputs = [each for side in self.tuned_on for each in side.inputs[:_STANDARDISED_OVER]]
        require_two_nodes(self.tuned_on)
        states = torch.from_numpy(encode(model, inputs, batch_size=config.batch_size))
        return StandardisedProjection(states.to(device), width, seed=seed)

    def measure(
        self, model: TextVectors, objective: AlignmentObjective, config: AlignmentConfig
    ) -> dict[Entity, Alignment]:
        """How well the held-out nodes' views fit now; a side that holds none out is absent."""
        found: dict[Entity, Alignment] = {}
        for entity, pairs in zip(self.entities, self.measured_on, strict=True):
            if not len(pairs):
                continue
            pooled = torch.from_numpy(encode(model, pairs.inputs, batch_size=config.batch_size))
            with torch.no_grad():
                text = objective.projection(pooled.to(pairs.graph.device))
                found[entity] = measure_alignment(text, pairs.graph, temperature=config.temperature)
        return found


def choose_nodes(
    base: BaseModel, sides: Sequence[AlignedSide], config: AlignmentConfig, *, seed: int
) -> Nodes:
    """Tokenise the texts of all nodes with both views, and hold a share of them out."""
    tuned_on: list[Pairs] = []
    measured_on: list[Pairs] = []
    for side in sides:
        ids, texts = side.texts.ids, side.texts.texts
        inputs = base.token_ids([texts[row] for row in side.rows])
        pairs = Pairs(inputs, torch.from_numpy(side.graph).to(tuning_device(config)))
        kept_out = held_out([ids[row] for row in side.rows], config.held_out_share, seed=seed)
        tuned_on.append(pairs.take(np.flatnonzero(~kept_out).tolist()))
        measured_on.append(pairs.take(np.flatnonzero(kept_out)[:_MOST_MEASURED].tolist()))
    return Nodes(tuple(side.texts.entity for side in sides), tuple(tuned_on), tuple(measured_on))


def held_out(ids: Sequence[ExternalId], share: float, *, seed: int) -> npt.NDArray[np.bool_]:
    """(n,) bool: the share of ids of smallest hash, so that a node's lot does not hang on its neighbours."""
    marks = np.array([digest([seed, each]) for each in ids])
    chosen = np.zeros(len(ids), np.bool_)
    chosen[np.argsort(marks)[: int(share * len(ids))]] = True
    return chosen

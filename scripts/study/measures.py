"""What is measured of a fitted model and of its data set, once training is over."""

from collections.abc import Collection
from typing import Final, Protocol, runtime_checkable

import numpy as np

from featurestore.reader import Release
from recommender.base import Recommender
from recommender.data import FloatArray, TrainingData
from recommender.evaluate import evaluate_ranking
from recommender.evaluation.strata import Cut, Stratum, degree_cut, item_strata, quartile_cut, user_strata
from recommender.evaluation.tasks import EvaluationTask
from recommender.evaluation.user_groups import attribute_cuts
from recommender.features import NodeFeatures
from recommender.hgpo.reading import PolicyReading
from recommender.metrics import RankGroups, ranking_metrics
from scripts.study.records import Pairs
from scripts.study.runs import DatasetFacts, GatePart

_GATE_BOUNDS: Final = (1, 4, 10, 50)
_GATE_PARTS: Final = ("0", "1-3", "4-9", "10-49", ">=50")
"""Training degrees; finer than elsewhere where texts are expected to matter."""


@runtime_checkable
class HasGates(Protocol):
    """A model that mixes vectors of nodes with their texts by gates."""

    def gates(self) -> FloatArray:
        """(L, N) share of its own vector that each node, users first, keeps in each layer."""
        ...


@runtime_checkable
class HasPolicies(Protocol):
    """A model in which policies choose something for nodes."""

    def read_policies(self, data: TrainingData, features: NodeFeatures | None) -> tuple[PolicyReading, ...]:
        """What they learned, by group of nodes."""
        ...


def validation_metrics(model: Recommender, data: TrainingData) -> dict[str, float]:
    """Metric → mean over users of the validation part."""
    return evaluate_ranking(model.score, data.valid).means() if len(data.valid) else {}


def strata(task: EvaluationTask, ranks: RankGroups) -> tuple[Stratum, ...]:
    """Of the test part, by degree of items and of users."""
    metrics = ranking_metrics(ranks)
    held_out = task.held_out
    degrees = task.profiles.degrees[metrics.users]
    item_cuts = (
        degree_cut("item degree", task.item_degrees),
        quartile_cut("item quartile", task.item_degrees, task.item_degrees),
    )
    user_cuts = (
        degree_cut("user degree", degrees),
        quartile_cut("user quartile", degrees, np.ones_like(degrees)),
    )
    counts = np.unique(held_out.users, return_counts=True)[1]
    return (
        *item_strata(ranks, held_out.items, item_cuts),
        *user_strata(metrics, counts, user_cuts),
    )


def user_groups(release: Release, task: EvaluationTask, columns: Collection[str]) -> list[Cut]:
    """Divisions of test users, by ascending row, by some columns of the release's users."""
    users = np.unique(task.held_out.users)
    return [cut for cut in attribute_cuts(release, users) if cut.kind in columns] if columns else []


def gate_parts(model: Recommender, data: TrainingData) -> tuple[GatePart, ...]:
    """How far texts enter nodes, by training degree; nothing of a model without gates."""
    if not isinstance(model, HasGates):
        return ()
    degrees = np.concatenate([data.seen.degrees, data.item_degrees])
    is_item = np.arange(len(degrees)) >= data.num_users
    gates, codes = model.gates(), np.digitize(degrees, _GATE_BOUNDS)  # (L, N), (N,)
    parts: list[GatePart] = []
    for side, inside in (("users", ~is_item), ("items", is_item)):
        for code, label in enumerate(_GATE_PARTS):
            nodes = inside & (codes == code)
            if nodes.any() and len(gates):
                means = tuple(gates[:, nodes].mean(axis=1).tolist())
                parts.append(GatePart(part=f"{side} {label}", num_nodes=int(nodes.sum()), means=means))
    return tuple(parts)


def policy_parts(
    model: Recommender, data: TrainingData, features: NodeFeatures | None
) -> tuple[PolicyReading, ...]:
    """What policies learned; nothing of a model without any."""
    return model.read_policies(data, features) if isinstance(model, HasPolicies) else ()


def held_out_pairs(task: EvaluationTask) -> Pairs:
    """The test part of a task."""
    held_out = task.held_out
    return Pairs(
        users=held_out.users,
        item_degrees=task.item_degrees[held_out.items],
        user_degrees=task.profiles.degrees[held_out.users],
    )


def dataset_facts(digest: str, data: TrainingData, task: EvaluationTask) -> DatasetFacts:
    """What a data set is."""
    return DatasetFacts(
        data=digest,
        num_users=data.num_users,
        num_items=data.num_items,
        num_train=len(data.train_users),
        num_valid=len(data.valid),
        num_test=len(task.held_out),
    )

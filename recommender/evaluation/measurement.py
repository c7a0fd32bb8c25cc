"""Everything that is measured of one model on a task, from one pass over its scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from featurestore.errors import UsageError
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from recommender.base import Recommender
from recommender.evaluate import rank_in_one_pass
from recommender.evaluation.beyond_accuracy import list_measures
from recommender.evaluation.strata import Cut, Stratum, degree_cut, item_strata, quartile_cut, user_strata
from recommender.evaluation.tasks import EvaluationTask, TaskName, load_task, scorer
from recommender.evaluation.user_groups import attribute_cuts
from recommender.metrics import CUTOFFS, RankingMetrics, ranking_metrics
from recommender.sampled import Negatives, draw_negatives

ITEM_CUTS: Final = ("item degree", "item quartile")
USER_CUTS: Final = ("user degree", "user quartile")


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What all models of one comparison are held against.

    Attributes:
        task: What is ranked.
        negatives: Sampled lists, the same for all models; None for the full ranking alone.
        item_cuts: Divisions of all items.
        user_cuts: Divisions of the rows that have held-out items: by degree, then by attribute.
        attributes: What users are divided by beside their degree.
    """

    task: EvaluationTask
    negatives: Negatives | None
    item_cuts: tuple[Cut, ...]
    user_cuts: tuple[Cut, ...]
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one model reaches.

    Attributes:
        metrics: Over the full ranking, per user.
        sampled: Among sampled negatives, per user; None without.
        lists: Measures of lists, see `recommender.evaluation.beyond_accuracy`.
        strata: Full-ranking metrics of parts of items and users.
    """

    metrics: RankingMetrics
    sampled: RankingMetrics | None
    lists: dict[str, float]
    strata: tuple[Stratum, ...]


def load_yardstick(release: Release, task_name: TaskName = "users", *, num_negatives: int = 0) -> Yardstick:
    """The test part of a release, ready to measure models on.

    Args:
        release: An opened release.
        task_name: See `EvaluationTask`.
        num_negatives: Sampled negatives of each row, besides the full ranking; none if 0.

    Raises:
        UsageError: If negatives are asked for sessions.
        InputError: If there is nothing to test on, or a user has too few items to draw negatives from.
    """
    if num_negatives and task_name == "sessions":
        raise UsageError(
            "negatives are sampled for users, not for sessions, whose items may come again.",
            hint="Leave --negatives out: sessions are ranked in full.",
        )
    task = load_task(release, task_name)
    rows = np.unique(task.held_out.users)
    degrees = task.profiles.degrees[rows]
    by_attribute = attribute_cuts(release, task.owners[rows])
    return Yardstick(
        task=task,
        negatives=draw_negatives(task.held_out, num_negatives, user_ids=release.id_map("user").ids)
        if num_negatives
        else None,
        item_cuts=(
            degree_cut(ITEM_CUTS[0], task.item_degrees),
            quartile_cut(ITEM_CUTS[1], task.item_degrees, task.item_degrees),
        ),
        user_cuts=(
            degree_cut(USER_CUTS[0], degrees),
            quartile_cut(USER_CUTS[1], degrees, np.ones_like(degrees)),
            *by_attribute,
        ),
        attributes=tuple(cut.kind for cut in by_attribute),
    )


def measure(
    model: Recommender,
    yardstick: Yardstick,
    *,
    cutoffs: Sequence[int] = CUTOFFS,
    progress: Progress = no_progress,
) -> Measurement:
    """Measure a fitted model.

    Cost: one pass of scores; lists and sampled ranks are read from the same chunks.

    Raises:
        InputError: If a score is NaN or infinite.
    """
    task = yardstick.task
    ranking = rank_in_one_pass(
        scorer(model, task),
        task.held_out,
        top_k=max(cutoffs),
        negatives=yardstick.negatives,
        progress=progress,
    )
    metrics = ranking_metrics(ranking.groups, cutoffs)
    num_held_out = np.unique(task.held_out.users, return_counts=True)[1]
    return Measurement(
        metrics=metrics,
        sampled=ranking_metrics(ranking.sampled, cutoffs) if ranking.sampled else None,
        lists=list_measures(
            ranking.lists,
            profiles=task.profiles,
            users=metrics.users,
            item_degrees=task.item_degrees,
            num_train_users=task.num_train_users,
            cutoffs=cutoffs,
        ),
        strata=(
            *item_strata(ranking.groups, task.held_out.items, yardstick.item_cuts, cutoffs),
            *user_strata(metrics, num_held_out, yardstick.user_cuts),
        ),
    )

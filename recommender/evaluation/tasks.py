"""What models are tested on. This reads test events: no trainer may import it."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from featurestore import columns as c
from featurestore.errors import InputError
from featurestore.ids import RowArray
from featurestore.reader import Release
from recommender.base import ReadsHistories, Recommender
from recommender.data import (
    FloatArray,
    HeldOut,
    Histories,
    IntArray,
    UserItems,
    group_by_user,
    hold_out,
    load_histories,
    load_rows,
    load_training_data,
    unique_pairs,
)
from recommender.evaluate import Scorer
from recommender.evaluation.sessions import example_sessions, next_item_examples

TaskName: TypeAlias = Literal["users", "sessions"]
TASKS: Final[tuple[TaskName, ...]] = ("users", "sessions")


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """Rows to rank for, and what should be on top; a row is a user, or a prefix of a session.

    Attributes:
        name: ``users``: every user's test items, all of them at once. ``sessions``: every item of a test
            session but its first, after those before it.
        held_out: What should be on top, by row.
        histories: What each row did before, for models that read it.
        profiles: The items that each row is known by: training items, or those of the prefix.
        owners: (rows,) int64, the user of each row.
        item_degrees: (num_items,) int64 training users of each item.
        num_train_users: Users with training events.
    """

    name: TaskName
    held_out: HeldOut
    histories: Histories
    profiles: UserItems
    owners: IntArray
    item_degrees: IntArray
    num_train_users: int

    def units(self, rows: RowArray) -> IntArray | None:
        """What each of ``rows`` belongs to in significance tests; None where rows are users themselves."""
        return self.owners[rows] if self.name == "sessions" else None


def load_task(release: Release, name: TaskName = "users") -> EvaluationTask:
    """The test part of a release as a task.

    Raises:
        InputError: If the release has no test events, or no test session of two items.
    """
    data = load_training_data(release)
    if name == "sessions":
        sessions = load_histories(release, c.TEST)
        histories, held_out = next_item_examples(sessions, data.num_items)
        if not len(held_out):
            raise InputError(
                "no user of the release has two test events, so there is no session to test on.",
                hint="Ingest with the official split, whole sessions in the test part; or use --task users.",
            )
        profiles, owners = _items_of(histories, data.num_items), example_sessions(sessions)
    else:
        held_out = load_test_data(release)
        histories = load_histories(release, c.TRAIN, c.VALID)
        profiles, owners = data.seen, np.arange(data.num_users)
    return EvaluationTask(
        name=name,
        held_out=held_out,
        histories=histories,
        profiles=profiles,
        owners=owners,
        item_degrees=data.item_degrees,
        num_train_users=len(np.unique(data.train_users)),
    )


def load_test_data(release: Release) -> HeldOut:
    """Test pairs of a release, with train and validation masked.

    Raises:
        InputError: If the split holds out no test events.
    """
    users, items = load_rows(release, c.TEST)
    if not len(users):
        raise InputError(
            "the release has no test interactions, so nothing can be evaluated.",
            hint="Ingest with a split that holds out events, such as leave_one_out.",
        )
    seen_users, seen_items = load_rows(release, c.TRAIN, c.VALID)
    return hold_out(
        users,
        items,
        seen_users=seen_users,
        seen_items=seen_items,
        num_users=len(release.id_map("user")),
        num_items=len(release.id_map("item")),
    )


def scorer(model: Recommender, task: EvaluationTask) -> Scorer:
    """What scores a task's rows: by their histories if the model reads any, else by their users."""
    if isinstance(model, ReadsHistories):
        return model.with_histories(task.histories).score

    def score(rows: RowArray) -> FloatArray:
        return model.score(task.owners[rows])

    return score


def _items_of(histories: Histories, num_items: int) -> UserItems:
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    rows, items = unique_pairs(rows, histories.items, num_items)
    return group_by_user(rows, items, len(histories))

"""amazon14-beauty for both sides: rows for us, and the same rows as one of RecBole's atomic files."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recommender.data import HeldOut, IntArray, TrainingData, hold_out, training_data, unique_pairs

NAME = "beauty"


@dataclass(frozen=True, slots=True)
class Events:
    """All interactions, in order of time within each user.

    Attributes:
        users: (n,) int64 rows.
        items: (n,) int64 rows.
        positions: (n,) int64, ascending within a user.
        splits: (n,) "train", "valid" or "test": the last event of a user is test, the one before valid.
        num_users: Different users.
        num_items: Different items.
    """

    users: IntArray
    items: IntArray
    positions: IntArray
    splits: np.ndarray
    num_users: int
    num_items: int

    def part(self, *names: str) -> tuple[IntArray, IntArray]:
        """(users, items) of some split parts."""
        chosen = np.isin(self.splits, names)
        return self.users[chosen], self.items[chosen]


def read_events(data: Path) -> Events:
    """The interactions of ``data/amazon14-beauty``."""
    path = data / "amazon14-beauty" / "interactions.parquet"
    if not path.exists():
        sys.exit(f"there is no {path}: name the folder of the evaluation data with --data")
    events = pl.read_parquet(path).sort("user_id", "position")
    user_ids, users = np.unique(events["user_id"].to_numpy(), return_inverse=True)
    item_ids, items = np.unique(events["item_id"].to_numpy(), return_inverse=True)
    return Events(
        users=users.astype(np.int64),
        items=items.astype(np.int64),
        positions=events["position"].to_numpy().astype(np.int64),
        splits=events["split"].to_numpy(),
        num_users=len(user_ids),
        num_items=len(item_ids),
    )


def training(events: Events) -> TrainingData:
    """The training part, without validation pairs: benchmarks choose nothing."""
    none = np.empty(0, np.int64)
    return training_data(
        num_users=events.num_users,
        num_items=events.num_items,
        train=events.part("train"),
        valid=(none, none),
    )


def test_part(events: Events) -> HeldOut:
    """The test part, with training and validation pairs masked."""
    users, items = events.part("test")
    seen_users, seen_items = unique_pairs(*events.part("train", "valid"), events.num_items)
    return hold_out(
        users,
        items,
        seen_users=seen_users,
        seen_items=seen_items,
        num_users=events.num_users,
        num_items=events.num_items,
    )


def write_atomic_file(events: Events, folder: Path) -> None:
    """``folder/beauty/beauty.inter``; rows are the tokens. RecBole's leave-one-out finds the same split."""
    file = folder / NAME / f"{NAME}.inter"
    file.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        {
            "user_id:token": events.users,
            "item_id:token": events.items,
            "timestamp:float": events.positions,
        }
    ).write_csv(file, separator="\t")

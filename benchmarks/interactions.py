"""The training part of a data set of the evaluation data, for sides of comparisons."""

from pathlib import Path

import numpy as np
import polars as pl

from recommender.data import TrainingData, training_data


def training_part(file: Path) -> TrainingData:
    """Pairs of the training part; rows are of all users and items of the file."""
    events = pl.read_parquet(file, columns=["user_id", "item_id", "split"])
    user_ids, users = np.unique(events["user_id"].to_numpy(), return_inverse=True)
    item_ids, items = np.unique(events["item_id"].to_numpy(), return_inverse=True)
    kept, none = (events["split"] == "train").to_numpy(), np.empty(0, np.int64)
    return training_data(
        num_users=len(user_ids),
        num_items=len(item_ids),
        train=(users[kept].astype(np.int64), items[kept].astype(np.int64)),
        valid=(none, none),
    )

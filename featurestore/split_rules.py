"""The rule behind each split method: pure functions from ordered events to events with parts.

Every rule takes events sorted by user, with ``position`` 0, 1, 2, … per user, and returns the same rows in
the same order with ``part`` set.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
from blake3 import blake3

from featurestore import columns as c
from featurestore.errors import InputError

Rule: TypeAlias = Callable[[pl.DataFrame, float, float, int], pl.DataFrame]
"""(events, valid_share, test_share, seed) → events with parts."""

PART_NAMES = {
    "train": c.TRAIN,
    "training": c.TRAIN,
    "valid": c.VALID,
    "validation": c.VALID,
    "val": c.VALID,
    "dev": c.VALID,
    "test": c.TEST,
    "testing": c.TEST,
}
"""Spellings of the parts that data may use, in lower case."""

_LENGTH = pl.len().cast(pl.Int64).over(c.USER_ID)
_FROM_END = _LENGTH - pl.col(c.POSITION) - 1


def leave_one_out(events: pl.DataFrame, valid_share: float, test_share: float, seed: int) -> pl.DataFrame:
    """Last event tests, second last validates; users with fewer than three events train only."""
    del valid_share, test_share, seed
    held_out = pl.when(_LENGTH >= 3).then(1).otherwise(0)
    return _with_tail(events, held_out, held_out)


def ratio(events: pl.DataFrame, valid_share: float, test_share: float, seed: int) -> pl.DataFrame:
    """The newest ``test_share`` of each user's events test, those before validate; one at least trains."""
    del seed
    num_test = pl.min_horizontal((_LENGTH * test_share + 0.5).floor(), _LENGTH - 1)
    num_valid = pl.min_horizontal((_LENGTH * valid_share + 0.5).floor(), _LENGTH - 1 - num_test)
    return _with_tail(events, num_test, num_valid)


def temporal(events: pl.DataFrame, valid_share: float, test_share: float, seed: int) -> pl.DataFrame:
    """One cut in time for everyone. Events of one timestamp stay together, in the later part."""
    del seed
    if not events.height:
        return none(events, valid_share, test_share, 0)
    times = events[c.TIMESTAMP].sort()
    part = pl.lit(c.TRAIN)
    if valid_share:
        first = times[_cut(times.len(), valid_share + test_share)]
        part = pl.when(pl.col(c.TIMESTAMP) >= first).then(pl.lit(c.VALID)).otherwise(part)
    if test_share:
        first = times[_cut(times.len(), test_share)]
        part = pl.when(pl.col(c.TIMESTAMP) >= first).then(pl.lit(c.TEST)).otherwise(part)
    return events.with_columns(part.alias(c.PART))


def official(events: pl.DataFrame, valid_share: float, test_share: float, seed: int) -> pl.DataFrame:
    """The data's own parts; without a validation part, a share of each user's training events becomes it.

    Raises:
        InputError: If the data names a part that is none of `PART_NAMES`.
    """
    del test_share
    part = pl.col(c.PART).str.strip_chars().str.to_lowercase()
    found = events.with_columns(part.replace_strict(PART_NAMES, default=None).alias(c.PART))
    if found[c.PART].null_count():
        unknown = events.filter(found[c.PART].is_null())[c.PART].unique().sort().to_list()
        raise InputError(
            f"the data's own split has unknown parts {unknown[:10]}; expected train, valid, test."
        )
    if (found[c.PART] == c.VALID).any() or not valid_share:
        return found
    return _cut_validation(found, valid_share, seed)


def none(events: pl.DataFrame, valid_share: float, test_share: float, seed: int) -> pl.DataFrame:
    """Everything trains."""
    del valid_share, test_share, seed
    return events.with_columns(pl.lit(c.TRAIN).alias(c.PART))


RULES: dict[str, Rule] = {
    "leave_one_out": leave_one_out,
    "official": official,
    "temporal": temporal,
    "ratio": ratio,
    "none": none,
}


def _with_tail(events: pl.DataFrame, num_test: pl.Expr, num_valid: pl.Expr) -> pl.DataFrame:
    """The last ``num_test`` events of each user test, the ``num_valid`` before them validate."""
    num_held_out = num_test + num_valid
    part = (
        pl.when(num_test > _FROM_END)
        .then(pl.lit(c.TEST))
        .when(num_held_out > _FROM_END)
        .then(pl.lit(c.VALID))
        .otherwise(pl.lit(c.TRAIN))
    )
    return events.with_columns(part.alias(c.PART))


def _cut(num_events: int, share: float) -> int:
    return min(num_events - 1, int(np.floor(num_events * (1.0 - share) + 0.5)))


def _cut_validation(events: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    """Turn each user's lowest-hashed training events into validation, at least one stays in train."""
    trains = pl.col(c.PART) == c.TRAIN
    num_train = trains.sum().cast(pl.Int64).over(c.USER_ID)
    num_valid = pl.min_horizontal((num_train * share + 0.5).floor(), num_train - 1)
    place = pl.col("draw").rank("ordinal").over(c.USER_ID, c.PART) - 1
    part = pl.when(trains & (place < num_valid)).then(pl.lit(c.VALID)).otherwise(pl.col(c.PART))
    drawn = pl.Series("draw", _event_hashes(events, seed))
    return events.with_columns(drawn).with_columns(part.alias(c.PART)).drop("draw")


def _event_hashes(events: pl.DataFrame, seed: int) -> npt.NDArray[np.uint64]:
    """(n,) uint64, one per event: depends on seed, user and item only, so it survives growth of the data."""
    users, items = (_id_hashes(events[name], seed) for name in (c.USER_ID, c.ITEM_ID))
    mixed = users ^ (items * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(29))


def _id_hashes(ids: pl.Series, seed: int) -> npt.NDArray[np.uint64]:
    distinct = ids.unique(maintain_order=True)
    prefix = f"{seed}:".encode()
    hashes = [int.from_bytes(blake3(prefix + i.encode()).digest(8), "little") for i in distinct.to_list()]
    table = pl.DataFrame({"id": distinct, "hash": pl.Series(hashes, dtype=pl.UInt64)})
    rows = ids.to_frame("id").join(table, on="id", how="left", maintain_order="left")
    return rows["hash"].to_numpy()

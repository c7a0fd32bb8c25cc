"""Diginetica's newest sessions as interactions: what fits a CPU of the session data that SR-GNN published.

The files give one list of clicks per session, in order of time. Two ways to measure, both in full ranking:

* A data set of the study, by `write_slice`: the newest quarter of all sessions, its 5-core of 3 to 50 clicks,
  leave-one-out. The study does not rank what a session clicked before, so the three last clicks of ten that
  are repeats are left out and counted: figures are not those of protocols that rank everything.
* SR-GNN's own protocol, by `official_slice`: trained on the newest share of the training sessions, asked
  after every prefix of the official test sessions, nothing masked. `scripts.session_protocol` runs it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.errors import InputError, UsageError
from featurestore.sessions import core
from recommender.data import HeldOut, Histories, IntArray, TrainingData, training_data
from recommender.evaluation.sessions import next_item_examples
from scripts.study.datasets import SLICE

SOURCE: Final = "session-diginetica"
_SHARE: Final = 4
_VALID_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class OfficialSlice:
    """SR-GNN's protocol on a part of its training sessions.

    Attributes:
        data: The sessions to train on; the last click of the newest tenth validates.
        prefixes: Every prefix of the test sessions.
        held_out: What followed each; nothing is masked.
        num_left_out: Clicks of the test sessions on items that no training session of the part has.
    """

    data: TrainingData
    prefixes: Histories
    held_out: HeldOut
    num_left_out: int


def write_slice(data: Path, folder: Path) -> Path:
    """Write the study's data set, to be prepared like any other.

    Args:
        data: Folder of the evaluation data.
        folder: Where its own folder goes.

    Returns:
        ``folder``, which takes the place of the evaluation data for this data set.

    Raises:
        InputError: If the sessions are not there.
    """
    sessions = _read(data)
    events = core(_events(sessions.tail(sessions.height // _SHARE)))
    target = folder / SLICE.name
    target.mkdir(parents=True, exist_ok=True)
    place = pl.int_range(pl.len(), dtype=pl.Int64).over(c.USER_ID).alias(c.POSITION)
    fresh = target / "interactions.fresh"  # another process may be reading the one before
    events.with_columns(place).write_parquet(fresh)
    fresh.replace(target / "interactions.parquet")
    return folder


def official_slice(data: Path, share: int) -> OfficialSlice:
    """The newest 1/share of the training sessions, and all official test sessions.

    Args:
        data: Folder of the evaluation data.
        share: At least 1.

    Raises:
        InputError: If the sessions are not there.
        UsageError: If the part is too small to hold sessions that train and such that validate.
    """
    sessions = _read(data)
    train = sessions.filter(split=c.TRAIN)
    if train.height // share < _VALID_SHARE:
        raise UsageError(
            f"1/{share} of {train.height:,} training sessions is {train.height // share}; the newest of "
            f"{_VALID_SHARE} validates.",
            hint=f"Name a share of at most {max(1, train.height // _VALID_SHARE)}.",
        )
    train_rows, train_items = _rows(train.tail(train.height // share))
    catalogue, items = np.unique(train_items, return_inverse=True)
    num_sessions = int(train_rows.max()) + 1
    newest = np.append(train_rows[1:] != train_rows[:-1], True)
    validates = newest & (train_rows >= num_sessions - num_sessions // _VALID_SHARE)
    test_rows, test_items = _rows(sessions.filter(split=c.TEST))
    known = np.isin(test_items, catalogue)
    counts = np.bincount(test_rows[known], minlength=int(test_rows.max()) + 1)
    asked = Histories(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.searchsorted(catalogue, test_items[known]),
    )
    return OfficialSlice(
        training_data(
            num_users=num_sessions,
            num_items=len(catalogue),
            train=(train_rows[~validates], items[~validates]),
            valid=(train_rows[validates], items[validates]),
        ),
        *next_item_examples(asked, len(catalogue)),
        num_left_out=int((~known).sum()),
    )


def _read(data: Path) -> pl.DataFrame:
    """Sessions, oldest first."""
    path = data / SOURCE / "sessions.parquet"
    if not path.is_file():
        raise InputError(
            f"there is no {path}.",
            hint="Name the folder of the evaluation data with --data or FEATURESTORE_DATA.",
        )
    return pl.read_parquet(path).sort("session_id")


def _events(sessions: pl.DataFrame) -> pl.DataFrame:
    return (
        sessions.select(pl.format("s{}", "session_id").alias(c.USER_ID), pl.col("items").alias(c.ITEM_ID))
        .explode(c.ITEM_ID)
        .with_columns(pl.format("i{}", c.ITEM_ID).alias(c.ITEM_ID))
    )


def _rows(sessions: pl.DataFrame) -> tuple[IntArray, IntArray]:
    """(n,) int64 session, counted from 0, and (n,) int64 item number of every click."""
    lengths = sessions["items"].list.len().to_numpy()
    rows = np.repeat(np.arange(sessions.height), lengths)
    return rows, sessions["items"].explode().to_numpy().astype(np.int64)

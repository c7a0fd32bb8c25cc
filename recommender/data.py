"""What a model learns from, and what it is measured on.

Users and items are rows of the release's id maps, so a model's tables line up with the store's. Repeated
events of a user with an item are one pair; `Histories` keep them, in order. `TrainingData` has no test part:
a trainer cannot reach it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from featurestore import columns as c
from featurestore.errors import InputError
from featurestore.ids import RowArray
from featurestore.reader import Release

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class UserItems:
    """Items of every user, as compressed rows.

    Attributes:
        indptr: (num_users + 1,) int64; user u's items stand at ``indptr[u]`` to ``indptr[u + 1]``.
        items: (num_pairs,) int64, ascending within a user.
    """

    indptr: IntArray
    items: IntArray

    @property
    def degrees(self) -> IntArray:
        """(num_users,) int64: how many items each user has."""
        return np.diff(self.indptr)

    def of(self, user: int) -> IntArray:
        """One user's items, ascending: (degree,) int64."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def pairs_of(self, users: RowArray) -> tuple[IntArray, IntArray]:
        """Every (line, item) of ``users``, where line is the place in ``users``; for masking score chunks."""
        counts = self.degrees[users]
        lines = np.repeat(np.arange(len(users), dtype=np.int64), counts)
        first = np.repeat(self.indptr[users] - (np.cumsum(counts) - counts), counts)
        return lines, self.items[first + np.arange(len(lines))]


@dataclass(frozen=True, slots=True)
class Histories:
    """Items of every user in order of time, repeats kept, as compressed rows.

    Attributes:
        indptr: (n + 1,) int64; history u stands at ``indptr[u]`` to ``indptr[u + 1]``. Row u is user u, or
            whatever is asked about: a session, or a prefix of one.
        items: (num_events,) int64, oldest first within a history.
    """

    indptr: IntArray
    items: IntArray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> IntArray:
        """(n,) int64: how many events each history has."""
        return np.diff(self.indptr)

    def of(self, row: int) -> IntArray:
        """One history, oldest first: (length,) int64."""
        return self.items[self.indptr[row] : self.indptr[row + 1]]

    def newest(self, rows: RowArray, length: int) -> IntArray:
        """The last items of some histories: (len(rows), length) int64, the newest last, -1 where none is."""
        places = self.indptr[rows + 1][:, None] + np.arange(-length, 0)  # (r, length)
        absent = places < self.indptr[rows][:, None]
        if not len(self.items):
            return np.full(places.shape, -1, np.int64)
        return np.where(absent, -1, self.items[np.maximum(places, 0)])


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Pairs that a ranking should put on top, and the pairs that are not ranked at all.

    Attributes:
        users: (m,) int64, ascending.
        items: (m,) int64, ascending within a user; none of them is in ``seen``.
        seen: What the user had before: train, and validation too when this is the test part.
        num_items: Items that are ranked.
        num_repeats: Held-out events left out because the user had the item before.
    """

    users: IntArray
    items: IntArray
    seen: UserItems
    num_items: int
    num_repeats: int = 0

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class TrainingData:
    """All that a trainer sees.

    Attributes:
        num_users: Rows of the user id map.
        num_items: Rows of the item id map.
        train_users: (n,) int64, ascending.
        train_items: (n,) int64, ascending within a user; each pair once.
        histories: The training events of every user in order of time.
        valid: Held-out pairs for choosing epochs and settings; may be empty.
    """

    num_users: int
    num_items: int
    train_users: IntArray
    train_items: IntArray
    histories: Histories
    valid: HeldOut

    @cached_property
    def seen(self) -> UserItems:
        """Training items of every user."""
        return group_by_user(self.train_users, self.train_items, self.num_users)

    @cached_property
    def item_degrees(self) -> IntArray:
        """(num_items,) int64: users that each item has in training."""
        return np.bincount(self.train_items, minlength=self.num_items)


def unique_pairs(users: IntArray, items: IntArray, num_items: int) -> tuple[IntArray, IntArray]:
    """Each (user, item) once, sorted by user, then item."""
    keys = np.unique(users * num_items + items)
    return keys // num_items, keys % num_items


def group_by_user(users: IntArray, items: IntArray, num_users: int) -> UserItems:
    """Compressed rows of (n,) int64 ``users`` and ``items``: unique pairs, sorted by user, then item."""
    counts = np.bincount(users, minlength=num_users)
    return UserItems(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), items)


def group_by_time(users: IntArray, items: IntArray, num_users: int) -> Histories:
    """Histories from (n,) int64 ``users`` and ``items`` whose rows are in order of time within each user."""
    order = np.argsort(users, kind="stable")
    counts = np.bincount(users, minlength=num_users)
    return Histories(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), items[order])


def hold_out(
    users: IntArray,
    items: IntArray,
    *,
    seen_users: IntArray,
    seen_items: IntArray,
    num_users: int,
    num_items: int,
) -> HeldOut:
    """Held-out pairs without what was seen before (seen items are never ranked, so a repeat has no rank)."""
    seen_keys = np.unique(seen_users * num_items + seen_items)
    keys = np.unique(users * num_items + items)
    repeats = np.isin(keys, seen_keys, assume_unique=True)
    seen = group_by_user(seen_keys // num_items, seen_keys % num_items, num_users)
    kept = keys[~repeats]
    return HeldOut(kept // num_items, kept % num_items, seen, num_items, int(repeats.sum()))


def training_data(
    *, num_users: int, num_items: int, train: tuple[IntArray, IntArray], valid: tuple[IntArray, IntArray]
) -> TrainingData:
    """Training data from (users, items) rows of both parts; duplicates collapse.

    Args:
        num_users: Rows of the user id map.
        num_items: Rows of the item id map.
        train: Events, in order of time within each user.
        valid: Events.

    Raises:
        InputError: If there is no training pair, or a row is none of the id maps'.
    """
    for part, rows in (("training", train), ("validation", valid)):
        _require_rows(part, rows, num_users, num_items)
    if not len(train[0]):
        raise InputError(
            "the training part holds no interactions.",
            hint="Ingest interactions, and look at the split section of featurestore.toml.",
        )
    users, items = unique_pairs(*train, num_items)
    held = hold_out(*valid, seen_users=users, seen_items=items, num_users=num_users, num_items=num_items)
    histories = group_by_time(*train, num_users)
    return TrainingData(num_users, num_items, users, items, histories, held)


def _require_rows(part: str, rows: tuple[IntArray, IntArray], num_users: int, num_items: int) -> None:
    for entity, found, count in (("user", rows[0], num_users), ("item", rows[1], num_items)):
        outside = found[(found < 0) | (found >= count)]
        if len(outside):
            raise InputError(
                f"the {part} part names {entity} row {int(outside[0])}; rows are 0 to {count - 1}.",
                hint="Take rows and counts from the id maps of one release.",
            )


def load_training_data(release: Release) -> TrainingData:
    """Train and validation pairs of a release; the test part is not read.

    Raises:
        InputError: If the release has no training interactions.
    """
    return training_data(
        num_users=len(release.id_map("user")),
        num_items=len(release.id_map("item")),
        train=load_rows(release, c.TRAIN),
        valid=load_rows(release, c.VALID),
    )


def load_histories(release: Release, *parts: str) -> Histories:
    """Events of the named split parts of every user, in order of time.

    A model that ranks what comes next is asked about the test part with ``"train", "valid"``.
    """
    return group_by_time(*load_rows(release, *parts), len(release.id_map("user")))


def load_seen(release: Release) -> UserItems:
    """What every user had in train and validation: not to be recommended again."""
    users, items = load_rows(release, c.TRAIN, c.VALID)
    users, items = unique_pairs(users, items, len(release.id_map("item")))
    return group_by_user(users, items, len(release.id_map("user")))


def load_rows(release: Release, *parts: str) -> tuple[IntArray, IntArray]:
    """User and item rows of all events of the named split parts: (n,) int64 each, by user, then time."""
    events = release.interactions(*parts)
    users = release.id_map("user").row_of(events[c.USER_ID].to_list())
    return users, release.id_map("item").row_of(events[c.ITEM_ID].to_list())

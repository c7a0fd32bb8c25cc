"""Metrics of lists: exact up to the lists' length, for no item of a list shares its rank."""

import numpy as np

from featurestore.ids import RowArray
from recommender.data import HeldOut, IntArray
from recommender.metrics import RankGroups


def of_users(held_out: HeldOut, users: RowArray) -> HeldOut:
    """The held-out pairs of some users."""
    kept = np.isin(held_out.users, users)
    return HeldOut(held_out.users[kept], held_out.items[kept], held_out.seen, held_out.num_items)


def list_ranks(lists: IntArray, users: RowArray, held_out: HeldOut) -> RankGroups:
    """Where held-out items stand in lists; an item that is in none stands behind all others.

    Args:
        lists: (n, k) int64 item rows, best first, -1 where a list ends.
        users: (n,) int64 user rows, ascending: all that ``held_out`` names.
        held_out: What should be on top.
    """
    found = lists[np.searchsorted(users, held_out.users)] == held_out.items[:, None]  # (m, k)
    better = np.where(found.any(axis=1), found.argmax(axis=1), held_out.num_items)
    return RankGroups(held_out.users, better, np.ones_like(better))

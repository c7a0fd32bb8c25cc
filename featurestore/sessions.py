"""Sessions out of interactions: whoever had a session stands in ``user_id``, so that all else stays as it is.

Pure functions of events, used before `featurestore.ingest`: a file of sessions is a file of interactions.
"""

from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.errors import RowContractError, UsageError

_HALF_AN_HOUR: Final = 1800


def cut_at_gaps(events: pl.DataFrame, *, gap_seconds: int = _HALF_AN_HOUR) -> pl.DataFrame:
    """Cut every user's events into sessions: one ends where nothing follows for longer than the gap.

    Args:
        events: Columns ``user_id`` (text) and ``timestamp`` (unix seconds, none missing); others are kept.
        gap_seconds: The longest pause inside a session.

    Returns:
        The same events by user and time, rows of equal time in their order; ``user_id`` is now
        ``<user>/<number>``, sessions of a user numbered from 0.

    Raises:
        RowContractError: If there is no timestamp, or one is missing.
        UsageError: If the gap is negative.
    """
    if gap_seconds < 0:
        raise UsageError(f"a pause of {gap_seconds} seconds ends no session.", hint="Half an hour is 1800.")
    is_there = c.TIMESTAMP in events.columns
    num_missing = events[c.TIMESTAMP].null_count() if is_there else events.height
    if num_missing or not is_there:
        found = f"{num_missing:,} of {events.height:,} have none" if is_there else "there is no such column"
        raise RowContractError(
            f"sessions are cut by time: every event needs a {c.TIMESTAMP!r}, and {found}.",
            hint="Leave those events out, or take whole histories of users as sessions.",
        )
    ordered = events.sort(c.USER_ID, c.TIMESTAMP, maintain_order=True)
    pause = pl.col(c.TIMESTAMP).diff().fill_null(0).over(c.USER_ID)
    number = (pause > gap_seconds).cum_sum().over(c.USER_ID)
    return ordered.with_columns(pl.format("{}/{}", c.USER_ID, number).alias(c.USER_ID))


def core(events: pl.DataFrame, *, per_item: int = 5, per_session: int = 3, longest: int = 50) -> pl.DataFrame:
    """Leave out rare items and short sessions, again and again until none is left; cut long sessions first.

    Args:
        events: Columns ``user_id`` and ``item_id``, oldest first within a session; others are kept.
        per_item: Events that an item has at least.
        per_session: Events that a session has at least.
        longest: Newest events of a session that are kept.

    Returns:
        The events that are left, in their order; maybe none.

    Raises:
        UsageError: If a session may not be as long as it must be.
    """
    if longest < per_session:
        raise UsageError(
            f"sessions of {per_session} to {longest} events: nothing is as long as that.",
            hint=f"Set longest to {per_session} at least.",
        )
    age = pl.len().over(c.USER_ID) - pl.int_range(pl.len()).over(c.USER_ID)
    left = events.filter(age <= longest)
    while True:
        often = (pl.len().over(c.ITEM_ID) >= per_item) & (pl.len().over(c.USER_ID) >= per_session)
        fewer = left.filter(often)
        if fewer.height == left.height:
            return left
        left = fewer

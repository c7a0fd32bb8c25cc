"""Sessions out of interactions: whoever had a session stands in ``user_id``, so that all else stays as it is.

Pure functions of events, which `featurestore.ingest` applies before it splits them (``--sessions``).
"""

from typing import Final, Literal, TypeAlias

import polars as pl
from pydantic import Field, model_validator

from featurestore import columns as c
from featurestore.errors import InputError, RowContractError, UsageError
from featurestore.spec import Frozen

_HALF_AN_HOUR: Final = 1800
SessionKind: TypeAlias = Literal["none", "user", "gap"]


class SessionPolicy(Frozen):
    """What counts as a session, and which sessions are kept."""

    by: SessionKind = "none"
    """``none``: interactions stay as they are. ``user``: a user's whole sequence is a session. ``gap``: a
    session of a user ends where nothing follows for longer than ``gap_seconds``."""
    gap_seconds: int = Field(default=_HALF_AN_HOUR, ge=0)
    per_item: int = Field(default=5, ge=1)
    """Events that an item has at least; rarer ones are left out, and what is too short then."""
    shortest: int = Field(default=3, ge=1)
    """Events of a session at least."""
    longest: int = Field(default=50, ge=1)
    """Newest events of a session that are kept."""

    @model_validator(mode="after")
    def _something_is_kept(self) -> "SessionPolicy":
        if self.longest < self.shortest:
            raise ValueError(f"longest ({self.longest}) must be shortest ({self.shortest}) at least")
        return self


def as_sessions(events: pl.DataFrame, policy: SessionPolicy) -> pl.DataFrame:
    """Events of sessions in the place of events of users.

    Args:
        events: Columns ``user_id`` and ``item_id``; ``timestamp`` (unix seconds) for ``gap``; others stay.
        policy: What a session is.

    Returns:
        The events that are kept, by session, oldest first: by timestamp, then ``position``, where these are
        given, then in their order. With ``gap``, ``user_id`` is ``<user>/<number>``.

    Raises:
        RowContractError: If sessions are cut by time, and an event has none.
        InputError: If nothing is kept.
    """
    if policy.by == "none":
        return events
    by = [c.USER_ID, *(name for name in (c.TIMESTAMP, c.POSITION) if name in events.columns)]
    ordered = events.sort(by, maintain_order=True, nulls_last=False)
    cut = cut_at_gaps(ordered, gap_seconds=policy.gap_seconds) if policy.by == "gap" else ordered
    kept = core(cut, per_item=policy.per_item, per_session=policy.shortest, longest=policy.longest)
    if not kept.height:
        raise InputError(
            f"no session is left of {events.height:,} events: items of {policy.per_item} events and sessions "
            f"of {policy.shortest} at least.",
            hint="Lower per_item and shortest under [ingest.sessions], or raise the gap.",
        )
    return kept


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

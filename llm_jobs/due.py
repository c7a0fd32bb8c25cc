"""Due is not stale: which outdated texts of users a night may leave for later, and which it may not.

A user's text is outdated as soon as one event is new, or one item it names is described anew. Writing it
again each time would cost most of a full build every night. A policy leaves such a text until enough has
changed or it is old enough. A text that read an event which the split now holds out is due at once, whatever
the policy.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
from pydantic import Field

from featurestore import columns as c
from featurestore.point_in_time import parse_event_set
from featurestore.source_tables import INTERACTIONS
from featurestore.spec import Frozen
from featurestore.splits import current_split
from featurestore.store import Store
from llm_jobs.history import belongs_to, item_mark, item_of_mark

FEW_EVENTS: Final = "few events changed"
OUTSIDE: Final = "outside the condition"
OVER_LIMIT: Final = "over the limit"


class DuePolicy(Frozen):
    """When a text is due that is outdated because of a user's events alone. Every other one is at once."""

    min_changed_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the events shown that must have changed, they or what is shown of their items; 0: any."""
    max_age_days: float | None = Field(default=None, gt=0.0)
    """An outdated text of this age is due however little changed; None: age alone never makes it due."""

    def defers(self, share: float, age: timedelta | None) -> bool:
        """Whether an outdated text may wait.

        Args:
            share: See `changed_share`.
            age: Since the text was written; None if that is not known.
        """
        if share >= self.min_changed_share or age is None:
            return False
        return self.max_age_days is None or age < timedelta(days=self.max_age_days)

    def due_at(self, written: datetime | None) -> datetime | None:
        """When a text that is left for later will be due by its age; None if never."""
        if written is None or self.max_age_days is None:
            return None
        return written + timedelta(days=self.max_age_days)


def changed_share(before: Sequence[str] | None, now: Sequence[str]) -> float:
    """The share of events that two histories do not have in common; 1 if the earlier one is not known.

    Args:
        before: Marks of the events that a text was written from (`llm_jobs.history.UserHistory.marks`).
        now: Marks of the events that it would be written from now.
    """
    if before is None:
        return 1.0
    longest = max(len(before), len(now))
    return 1.0 - (Counter(before) & Counter(now)).total() / longest if longest else 0.0


def written_at(run_id: str) -> datetime | None:
    """The moment that a run id begins with (`featurestore.jobs.runcard.new_run_id`), or None."""
    try:
        return datetime.strptime(run_id.partition("-")[0][:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def read_held_out(store: Store, event_set: str, read: Mapping[str, Sequence[str] | None]) -> set[str]:
    """Users whose text read an event that is none of an event set, or may have.

    Events are compared by their items, which is all that a prompt shows of when and how they happened.

    Args:
        store: Holds the interactions.
        event_set: Name of the event set that the texts should have read, such as ``<split>:train``.
        read: User → marks of the events that the text was written from; None if they are not known.
    """
    split = current_split(store)
    if split is None or not read:
        return set(read)
    columns = [c.USER_ID, c.ITEM_ID, c.TIMESTAMP, c.PART]
    events = pl.DataFrame(store.read(INTERACTIONS, version=split.interactions_version, columns=columns))
    mine = events.filter(belongs_to(parse_event_set(event_set)), pl.col(c.USER_ID).is_in(list(read)))
    allowed: dict[str, Counter[str]] = {user: Counter() for user in read}
    for user, item in mine.select(c.USER_ID, c.ITEM_ID).iter_rows():
        allowed[user][item_mark(item)] += 1
    return {
        user
        for user, marks in read.items()
        if marks is None or Counter(map(item_of_mark, marks)) - allowed[user]
    }

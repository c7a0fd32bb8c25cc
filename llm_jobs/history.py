"""What a user prompt may know of a user: a sample of training events, and nothing held out.

A prompt that says so reads other events (`llm_jobs.prompt.History.events`); its texts carry their name.

The sample is stable: each event has a hash of its user and itself, and the smallest hashes are kept. A new
event replaces at most one sampled event; the order in which events are stored does not matter.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from polars import col

from featurestore import columns as c
from featurestore.errors import LeakError, UnknownNameError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.ids import digest, digest_bytes, digest_texts
from featurestore.point_in_time import EventSet, parse_event_set, wanted_event_set
from featurestore.source_tables import INTERACTIONS, ITEMS
from featurestore.splits import SplitRecord
from featurestore.store import Store
from llm_jobs.clean import clean_text
from llm_jobs.prompt import History
from llm_jobs.render import FEATURE

EVENT_FIELD_TOKENS = 50
"""Tokens of each field of an event, at most: twenty events of four fields stay under 4,000 tokens."""
_MARK_DIGITS = 8


@dataclass(frozen=True, slots=True)
class UserHistory:
    """The events of one user that a prompt shows.

    Attributes:
        events: Newest first. Each holds the history's item fields and ``feature``, cleaned; None if absent.
        events_digest: Digest of what the prompt can see of them, and of their items: a text is stale when it
            changes, whatever the cut of the split.
        event_set: Where the events come from: ``<split>:train`` (see `featurestore.point_in_time`).
        item_ids: The items of the events, in their order.
        marks: One mark an event, in their order: 8 hexadecimal characters that tell its item (`item_mark`)
            and 8 that tell what is shown of it. They say which events of an older text are still the same.
    """

    events: tuple[dict[str, Any], ...]
    events_digest: str
    event_set: str
    item_ids: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


def item_mark(item_id: str) -> str:
    """The beginning of the mark of an event with this item."""
    return digest_bytes(item_id.encode())[:_MARK_DIGITS]


def item_of_mark(mark: str) -> str:
    """The part of an event's mark that tells its item."""
    return mark[:_MARK_DIGITS]


def belongs_to(read: EventSet) -> pl.Expr:
    """Whether an event, by its columns part and timestamp, is one of an event set."""
    return col(c.PART).is_in(read.parts) if read.until is None else col(c.TIMESTAMP) <= read.until


def user_histories(
    store: Store,
    history: History,
    user_ids: Sequence[str],
    split: SplitRecord,
    *,
    user_written: Collection[str] = (),
) -> dict[str, UserHistory]:
    """A history for each user, from the training part of a split, or from the events that the prompt names.

    Users without such events get an empty one. Item texts come from the head of ``history.item_feature``;
    without one, or for items it lacks, ``feature`` is None.

    Args:
        store: The store.
        history: How many events, and what of each.
        user_ids: Whose.
        split: Whose parts are read, at the version of the interactions that it was made from.
        user_written: Item fields in which personal data is masked.

    Raises:
        UsageError: If the items lack a field that the history names.
        LeakError: If an item text was itself written from other events than these.
    """
    read = wanted_event_set(history.events, split)
    events = _sampled_events(store, history, user_ids, split, read)
    wanted = events[c.ITEM_ID].unique().to_list()
    items = _item_rows(store, history, wanted, _feature_texts(store, history, read), user_written)
    digests = {item: digest([item, row]) for item, row in items.items()}
    marks = {item: item_mark(item) + shown[:_MARK_DIGITS] for item, shown in digests.items()}
    chosen: dict[str, list[str]] = {user: [] for user in user_ids}
    for user, item in events.select(c.USER_ID, c.ITEM_ID).iter_rows():
        chosen[user].append(item)
    return {
        user: UserHistory(
            events=tuple(items[item] for item in item_ids),
            events_digest=digest_texts(digests[item] for item in item_ids),
            event_set=read.name,
            item_ids=tuple(item_ids),
            marks=tuple(marks[item] for item in item_ids),
        )
        for user, item_ids in chosen.items()
    }


def _sampled_events(
    store: Store, history: History, user_ids: Sequence[str], split: SplitRecord, read: EventSet
) -> pl.DataFrame:
    """Columns user_id, item_id; at most ``history.size`` rows a user, newest first."""
    columns = [c.USER_ID, c.ITEM_ID, c.TIMESTAMP, c.POSITION, c.PART]
    rows = store.read(INTERACTIONS, version=split.interactions_version, columns=columns)
    events = pl.DataFrame(rows).filter(belongs_to(read), col(c.USER_ID).is_in(list(user_ids)))
    # Equal events of a user (a song heard twice at one time) are told apart by their number.
    repeat = pl.int_range(pl.len()).over(c.USER_ID, c.ITEM_ID, c.TIMESTAMP).alias("repeat")
    events = events.sort(c.USER_ID, c.POSITION).with_columns(repeat)
    sizes = pl.len().over(c.USER_ID)
    short, long = events.filter(sizes <= history.size), events.filter(sizes > history.size)
    keys = long.select(c.USER_ID, c.ITEM_ID, c.TIMESTAMP, "repeat").iter_rows()
    hashes = pl.Series("hash", [digest_texts(map(str, key)) for key in keys], dtype=pl.String)
    rank = col("hash").rank("ordinal").over(c.USER_ID)
    kept = long.with_columns(hashes).filter(rank <= history.size).drop("hash")
    return pl.concat([short, kept]).sort([c.USER_ID, c.POSITION], descending=[False, True])


def _item_rows(
    store: Store,
    history: History,
    item_ids: Collection[str],
    features: Mapping[str, str],
    user_written: Collection[str],
) -> dict[str, dict[str, Any]]:
    """What is shown of each item: its cleaned fields and its text feature."""
    table = store.read(ITEMS)
    missing = [name for name in history.fields if name not in table.column_names]
    if missing:
        raise UsageError(
            f"the history reads {', '.join(map(repr, missing))} of each item, which the items lack. "
            f"They have: {', '.join(table.column_names)}.",
            hint="Change [history] fields in the prompt.",
        )
    wanted = set(item_ids)
    names = (c.ITEM_ID, *history.fields)
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    return {
        row[0]: {
            **{
                name: _cleaned(value, user_written=name in user_written)
                for name, value in zip(history.fields, row[1:], strict=True)
            },
            FEATURE: _cleaned(features.get(row[0])),
        }
        for row in rows
        if row[0] in wanted
    }


def _feature_texts(store: Store, history: History, read: EventSet) -> dict[str, str]:
    if history.item_feature is None:
        return {}
    feature, _, view = history.item_feature.partition(".")
    try:
        head = FeatureRegistry(store).head("text", feature, view)
    except UnknownNameError:
        return {}
    rows = store.read(head.table, columns=[c.ID, c.STATUS, c.TEXT, c.EVENT_SET]).to_pylist()
    ok = [row for row in rows if row[c.STATUS] == c.STATUS_OK]
    named = {row[c.EVENT_SET] for row in ok} - {None}
    foreign = sorted(name for name in named if not read.includes(parse_event_set(name)))
    if foreign:
        raise LeakError(
            f"texts of {history.item_feature} were written from events of {', '.join(foreign)}, but the user "
            f"prompt may read {read.name} only.",
            hint="Make the item texts again from the current training part.",
        )
    return {row[c.ID]: row[c.TEXT] for row in ok}


def _cleaned(value: object, *, user_written: bool = False) -> object:
    if value is None or isinstance(value, int | float):
        return value
    text = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
    return clean_text(text, EVENT_FIELD_TOKENS, user_written=user_written).text or None

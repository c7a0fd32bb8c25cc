"""Splits: which events train, which validate, which test, and the record that names a split for good.

Order of a user's events: timestamp (an absent one counts as oldest), then the position given with the data,
then the order of the rows. Rows of equal timestamp and no position thus keep the order of the file.
"""

import json
import re
from typing import Annotated, Final, Literal

import polars as pl
from blake3 import blake3
from pydantic import Field, model_validator

from featurestore import columns as c
from featurestore.errors import InputError, RowContractError
from featurestore.ids import DIGEST_LENGTH, canonical_json
from featurestore.spec import Frozen
from featurestore.split_rules import RULES
from featurestore.store import Store

SplitMethod = Literal["leave_one_out", "official", "temporal", "ratio", "none"]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]

LOG_PREFIX: Final = "log:"
"""Begins the name of an event set that is no part of a split: the log up to a moment."""
_RECORD = re.compile(r"^splits/(?P<number>\d{6})-(?P<checksum>[0-9a-f]{32})\.json$")


class SplitPolicy(Frozen):
    """How events are assigned to parts."""

    method: SplitMethod = "leave_one_out"
    """``leave_one_out``: a user's last event tests, the second last validates; users with fewer than three
    events train only. ``official``: the data's own ``split`` or ``part`` column. ``temporal``: one cut in
    time for all users. ``ratio``: the newest share of each user's events. ``none``: everything trains."""
    valid_share: Share = 0.1
    """``temporal``, ``ratio``: share of all events; ``official`` data without a validation part: share of
    each user's training events, drawn by a seeded hash."""
    test_share: Share = 0.1
    """``temporal``, ``ratio``: share of the newest events."""
    seed: int = Field(default=0, ge=0)
    """Seed of the validation draw of ``official``."""

    @model_validator(mode="after")
    def _leave_something_to_train(self) -> "SplitPolicy":
        if self.valid_share + self.test_share >= 1.0:
            raise ValueError("valid_share and test_share must leave something to train on: their sum is ≥ 1")
        return self

    @property
    def parameters(self) -> dict[str, float | int | str]:
        """The fields that this method reads, for the record."""
        match self.method:
            case "official":
                return {"valid_share": self.valid_share, "seed": self.seed}
            case "temporal" | "ratio":
                return {"valid_share": self.valid_share, "test_share": self.test_share}
            case _:
                return {}


class SplitRecord(Frozen):
    """A split as it was made: its checksum stands for every (user, item, position, part)."""

    method: str
    parameters: dict[str, float | int | str]
    checksum: str = Field(pattern=r"^[0-9a-f]{32}$")
    counts: dict[str, int]
    """Events of each part."""
    interactions_version: int
    """Version of ``source.interactions`` that holds the parts."""

    def event_set(self, part: str = c.TRAIN) -> str:
        """The name that rows carry in their ``event_set`` column: ``<16 characters>:train``."""
        return f"{self.checksum[:16]}:{part}"


def assign_parts(events: pl.DataFrame, policy: SplitPolicy) -> pl.DataFrame:
    """Order each user's events and give each its part.

    Args:
        events: Columns ``user_id`` and ``item_id``; ``timestamp``, ``position`` and ``part`` (or ``split``)
            as the data has them. Other columns are kept.
        policy: Which rule.

    Returns:
        The same events sorted by user and position, with ``position`` counted anew from 0 (oldest) per user
        and ``part`` one of train, valid, test.

    Raises:
        RowContractError: If the rule needs a column that is absent.
        InputError: If values of that column are missing or unknown, or nothing would be left to train on.
    """
    if c.PART not in events.columns and "split" in events.columns:
        events = events.rename({"split": c.PART})
    by = [c.USER_ID, *(name for name in (c.TIMESTAMP, c.POSITION) if name in events.columns)]
    place = pl.int_range(pl.len(), dtype=pl.Int64).over(c.USER_ID).alias(c.POSITION)
    ordered = events.sort(by, maintain_order=True, nulls_last=False).with_columns(place)
    _require_columns(ordered, policy.method)
    parted = RULES[policy.method](ordered, policy.valid_share, policy.test_share, policy.seed)
    if parted.height and not (parted[c.PART] == c.TRAIN).any():
        raise InputError(
            f"the {policy.method} split leaves none of {parted.height} events to train on.",
            hint="Lower valid_share and test_share, or choose another method under [ingest.split].",
        )
    return parted


def split_checksum(events: pl.DataFrame) -> str:
    """32 hexadecimal characters over user, item, position and part of all rows, in stored order."""
    hasher = blake3()
    for name in (c.USER_ID, c.ITEM_ID, c.PART):
        column = events[name]
        hasher.update(column.str.len_bytes().cast(pl.UInt32).to_numpy().astype("<u4").tobytes())
        for start in range(0, column.len(), 100_000):
            hasher.update("".join(column.slice(start, 100_000).to_list()).encode())
    hasher.update(events[c.POSITION].to_numpy().astype("<i8").tobytes())
    return hasher.hexdigest()[:DIGEST_LENGTH]


def record_split(
    store: Store, events: pl.DataFrame, policy: SplitPolicy, *, interactions_version: int
) -> SplitRecord:
    """Make the split of ``events`` the current one; nothing is written if it is the current one already."""
    counts = {part: int((events[c.PART] == part).sum()) for part in c.PARTS}
    record = SplitRecord(
        method=policy.method,
        parameters=policy.parameters,
        checksum=split_checksum(events),
        counts=counts,
        interactions_version=interactions_version,
    )
    make_current(store, record)
    return record


def make_current(store: Store, record: SplitRecord) -> None:
    """Make a split the current one; nothing is written if it is already."""
    data = canonical_json(record.model_dump(mode="json")).encode()
    while True:
        newest = _newest_path(store)
        if newest is not None and store.objects.read(newest) == data:
            return
        match = _RECORD.match(newest) if newest else None
        number = int(match["number"]) + 1 if match else 1
        if store.objects.put_new(f"splits/{number:06d}-{record.checksum}.json", data):
            return


def remove_earlier_splits(store: Store) -> None:
    """Remove the records of all splits but the current one, so that their events need not be kept."""
    newest = _newest_path(store)
    for path in store.objects.list("splits/"):
        if _RECORD.match(path) and path != newest:
            store.objects.delete(path)


def current_split(store: Store) -> SplitRecord | None:
    """The split of the newest ingest, or None if nothing was ingested."""
    path = _newest_path(store)
    return SplitRecord.model_validate(json.loads(store.objects.read(path))) if path else None


def every_split(store: Store) -> list[SplitRecord]:
    """All splits that were ever made, oldest first."""
    paths = sorted(path for path in store.objects.list("splits/") if _RECORD.match(path))
    return [SplitRecord.model_validate(json.loads(store.objects.read(path))) for path in paths]


def _newest_path(store: Store) -> str | None:
    return max((path for path in store.objects.list("splits/") if _RECORD.match(path)), default=None)


def _require_columns(events: pl.DataFrame, method: SplitMethod) -> None:
    needed = {"official": c.PART, "temporal": c.TIMESTAMP}.get(method)
    if needed is None:
        return
    found = ", ".join(events.columns)
    if needed not in events.columns:
        raise RowContractError(
            f"the {method} split needs a column {needed!r} in the interactions; found {found}.",
            hint="Map it in [ingest.columns.interactions], or choose another method under [ingest.split].",
        )
    if absent := events[needed].null_count():
        raise InputError(f"the {method} split needs {needed!r} in every event; {absent} have none.")

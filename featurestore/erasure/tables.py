"""Tables without the rows of a user: the newest rows in place, what releases pin of the past beside them."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.erasure.rows import Holding, holding_of, holdings, ids_of
from featurestore.erasure.subject import Subject
from featurestore.errors import MissingVersionError
from featurestore.release import TablePin
from featurestore.source_tables import INTERACTIONS
from featurestore.spec import AnySpec
from featurestore.splits import current_split
from featurestore.store import Store
from featurestore.table_upkeep import report_paths

PAST: Final = "past."
"""Begins the name of a table that holds redacted versions of another one, for releases that pin them."""

Place = tuple[str, int]
"""A table and a version of it."""


@dataclass
class TableEraser:
    """Removes users from tables.

    Attributes:
        store: The store.
        subject: The users.
        num_rows: Table → rows removed or unnamed in its newest version.
    """

    store: Store
    subject: Subject
    num_rows: dict[str, int] = field(default_factory=dict[str, int])
    _places: dict[Place, Place] = field(default_factory=dict[Place, Place])

    def erase_heads(self) -> None:
        """Remove the users from the newest version of every table. What is clean already stays as it is."""
        for holding in holdings(self.store):
            self._erase_head(holding)

    def place_of(self, spec: AnySpec, table: str, version: int) -> Place:
        """Where the rows of a version lie without the users: where they were, if none was about them."""
        holding = holding_of(spec)
        if holding is None:
            return table, version
        place = table, version
        if place not in self._places:
            self._places[place] = self._redacted(holding.at(table), version)
        return self._places[place]

    def is_concerned(self, holding: Holding, version: int) -> bool:
        """Whether a version holds anything about the users, hidden rows of its files included."""
        read = list(holding.columns_read)
        seen = pl.DataFrame(self.store.read(holding.table, version=version, columns=read))
        hidden = pl.DataFrame(self.store.deleted_rows(holding.table, version=version, columns=read))
        return any(not holding.concerned(rows, self.subject).is_empty() for rows in (seen, hidden))

    def _erase_head(self, holding: Holding) -> None:
        latest = self.store.latest(holding.table)
        if latest is None:
            return
        version = self._head_version(holding.table, latest.version)
        if not self.is_concerned(holding, version):
            return
        columns = list(holding.columns_read)
        rows = pl.DataFrame(self.store.read(holding.table, version=version, columns=columns))
        concerned = holding.concerned(rows, self.subject)
        if holding.rewrite is not None:
            whole = self.store.read(holding.table, version=version)
            made = self.store.replace(holding.table, holding.without(whole, self.subject))
        else:
            key = holding.columns[0]
            made = self.store.erase(holding.table, ids_of(concerned, key), key=key)
        self.num_rows[holding.table] = concerned.height
        self._places[holding.table, version] = (holding.table, made.version)
        self._copy_reports((holding.table, version), (holding.table, made.version))

    def _head_version(self, table: str, newest: int) -> int:
        """The newest version; of the events, the one that the current split was made of."""
        split = current_split(self.store) if table == INTERACTIONS else None
        return split.interactions_version if split is not None else newest

    def _redacted(self, holding: Holding, version: int) -> Place:
        table = holding.table
        if not self.is_concerned(holding, version):
            return table, version
        rows = holding.without(self.store.read(table, version=version), self.subject)
        newest = self.store.latest(table)
        if newest is not None and newest.num_rows == rows.num_rows and self.store.read(table).equals(rows):
            place = (table, newest.version)
        else:
            past = f"{PAST}{table.removeprefix(PAST)}"
            place = (past, self.store.replace(past, rows).version)
        self._copy_reports((table, version), place)
        return place

    def _copy_reports(self, old: Place, new: Place) -> None:
        """What was measured of a version is said of the redacted one too: it was, before."""
        for path, copy in zip(report_paths(*old), report_paths(*new), strict=True):
            try:
                self.store.objects.put_new(copy, self.store.objects.read(path))
            except MissingVersionError:
                continue


def drop_unused_pasts(store: Store, pins: Collection[TablePin]) -> None:
    """Remove redacted tables that no release pins."""
    used = {pin.table for pin in pins}
    for table in store.tables():
        if table.startswith(PAST) and table not in used:
            store.drop(table)


def event_counts(store: Store, place: Place) -> dict[str, int]:
    """Events of each split part in a version of the interactions."""
    parts = pl.DataFrame(store.read(place[0], version=place[1], columns=[c.PART]))[c.PART]
    return {part: int((parts == part).sum()) for part in c.PARTS}

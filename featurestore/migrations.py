"""Migrations: numbered steps that bring a store of an older format to the one that this version writes.

A step finds the tables that it must change, so a migration that was interrupted goes on where it stopped, and
one that is run again finds nothing. The new format is recorded when a step's last table is done. Released
versions are never touched: releases of any format stay readable as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from featurestore import columns as c
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.releases.publish import PUBLISH_LOCK
from featurestore.schema import TEXTS
from featurestore.store import Store
from featurestore.store_format import record_format, stored_format

OLDEST_FORMAT: Final = 1
"""The first version's: where every migration can start."""


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a step does to one table.

    Attributes:
        table: Name of the table.
        added: The columns that it gains.
    """

    table: str
    added: pa.Schema

    def __str__(self) -> str:
        return f"{self.table} gains {', '.join(self.added.names)}"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step.

    Attributes:
        format: The format that it leads to, from the one before.
        title: What it is for, in a few words.
        find: What of a store it has to change still.
    """

    format: int
    title: str
    find: Callable[[Store], list[TableChange]]


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """A step as it was planned or done: its format, its title, and what it changes."""

    format: int
    title: str
    changes: tuple[TableChange, ...]


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration does, or did.

    Attributes:
        found: The store's format before; 0 if it is empty.
        steps: In order; empty if the store has this version's format.
    """

    found: int
    steps: tuple[MigrationStep, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        steps = [
            {
                "format": step.format,
                "title": step.title,
                "tables": {change.table: change.added.names for change in step.changes},
            }
            for step in self.steps
        ]
        return {"found": self.found, "steps": steps}


def plan_migration(store: Store) -> MigrationReport:
    """What `migrate` would do. Nothing is written.

    Raises:
        NewerStoreError: If a newer version made the store.
    """
    found = stored_format(store.objects)
    steps = [step for step in MIGRATIONS if OLDEST_FORMAT <= found < step.format]
    return MigrationReport(
        found, tuple(MigrationStep(step.format, step.title, tuple(step.find(store))) for step in steps)
    )


def migrate(store: Store, *, progress: Progress = no_progress) -> MigrationReport:
    """Bring a store to the format of this version. May be interrupted, and run again, at any moment.

    Args:
        store: Connected with ``oldest_writable=OLDEST_FORMAT``.
        progress: Told per table.

    Raises:
        NewerStoreError: If a newer version made the store.
        LockHeldError: If a job works on a table that must change, or somebody publishes. What was done until
            then stays done.
    """
    report = plan_migration(store)
    if not report.steps:
        return report
    with FeatureLock(store.objects, PUBLISH_LOCK) as publishing:
        for step in report.steps:
            _change(store, step.changes, progress)
            publishing.check()
            record_format(store.objects, step.format)
    return report


def _change(store: Store, changes: Sequence[TableChange], progress: Progress) -> None:
    for done, change in enumerate(changes):
        progress(done, len(changes), change.table)
        with FeatureLock(store.objects, change.table) as lock:
            lock.check()
            store.add_columns(change.table, change.added)
    progress(len(changes), len(changes))


def _texts_without_flags(store: Store) -> list[TableChange]:
    """Text tables of the first version say neither which field changed nor what is odd about a text."""
    gained = pa.schema([TEXTS.field(c.FIELD_DIGESTS), TEXTS.field(c.FLAGS)])
    changes: list[TableChange] = []
    for table in store.tables():
        if table.startswith("text."):
            names = store.read(table, ids=[]).column_names
            missing = [field for field in gained if field.name not in names]
            changes += [TableChange(table, pa.schema(missing))] if missing else []
    return changes


MIGRATIONS: Final = (
    Migration(2, "texts say which fields they read and what is odd about them", _texts_without_flags),
)
"""All steps, by format; the last one leads to `store_format.FORMAT`."""

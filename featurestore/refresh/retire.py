"""Entities that are gone from the sources go from the texts and vectors too.

Whoever makes a feature removes what it no longer covers; this reaches the rest: imported features, and those
that tonight's job does not make again. Graphs and codes follow when they are built from the vectors that
stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from featurestore import columns as c
from featurestore.errors import LockHeldError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.source_tables import ITEMS, USERS
from featurestore.spec import Entity
from featurestore.store import Store

_IDS_PER_DELETE = 5_000
_SOURCES: Mapping[Entity, tuple[str, str]] = {"item": (ITEMS, c.ITEM_ID), "user": (USERS, c.USER_ID)}


@dataclass(slots=True)
class RetireReport:
    """What became of rows whose entity is gone.

    Attributes:
        deleted: Table → rows deleted; tables without such rows are not named.
        busy: Table → rows that stay until the job ends that is writing the table.
    """

    deleted: dict[str, int] = field(default_factory=dict[str, int])
    busy: dict[str, int] = field(default_factory=dict[str, int])


def retire_gone(store: Store) -> RetireReport:
    """Delete the texts and vectors of entities that the sources no longer have, from every head.

    Reads the ids of each head's table. A table that another job is writing is left as it is and reported.

    Args:
        store: With ingested sources; of a store without the source table of an entity nothing is deleted.

    Raises:
        StorageFullError: If there is no room for the new versions.
    """
    known = {entity: _known_ids(store, entity) for entity in _SOURCES}
    report = RetireReport()
    for head in (*FeatureRegistry(store).heads("text"), *FeatureRegistry(store).heads("vector")):
        ids = known.get(head.spec.entity) if head.spec.entity is not None else None
        if ids is None or store.latest(head.table) is None:
            continue
        stored = store.read(head.table, columns=[c.ID])[c.ID].to_pylist()
        if gone := sorted(set(stored) - ids):
            outcome = report.deleted if _delete(store, head.table, gone) else report.busy
            outcome[head.table] = len(gone)
    return report


def _known_ids(store: Store, entity: Entity) -> frozenset[str] | None:
    table, key = _SOURCES[entity]
    if store.latest(table) is None:
        return None
    return frozenset(store.read(table, columns=[key])[key].to_pylist())


def _delete(store: Store, table: str, ids: list[str]) -> bool:
    """Delete rows under the table's lock; False if another job holds it."""
    try:
        with FeatureLock(store.objects, table) as lock:
            for start in range(0, len(ids), _IDS_PER_DELETE):
                lock.check()
                store.delete(table, ids[start : start + _IDS_PER_DELETE], key=c.ID)
    except LockHeldError:
        return False
    return True

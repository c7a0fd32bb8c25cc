"""Id maps: external id ↔ row. They only grow; a row never comes to mean another entity.

New ids of one extension are appended in the order given. `featurestore.ingest` gives them in the order of a
hash, so that rows tell nothing about who interacted with what (integer ids that follow user sequences leak
test items to a model that guesses "the next id"). A forgotten entity leaves a tombstone without its name: the
row stays taken, and the entity gets another one should it come back.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore import schema
from featurestore.errors import MissingIdsError, StoreError
from featurestore.ids import ExternalId, RowArray
from featurestore.spec import Entity
from featurestore.store import Store

_BATCH_ROWS = 10_000
_FORGOTTEN = "\x1fforgotten:"
"""Begins with a control character, so that it is nobody's id."""


@dataclass(frozen=True)
class IdMap:
    """A frozen id map.

    Attributes:
        ids: External ids; the place of an id is its row. That of a forgotten entity holds a `tombstone`.
    """

    ids: tuple[ExternalId, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, external_id: object) -> bool:
        return external_id in self._rows

    def row_of(self, ids: Iterable[ExternalId]) -> RowArray:
        """Rows of ids, in request order: (n,) int64.

        Raises:
            MissingIdsError: Naming every id that is not in the map.
        """
        wanted = list(ids)
        found = [self._rows.get(i, -1) for i in wanted]
        rows = np.asarray(found, dtype=np.int64)
        if (rows < 0).any():
            absent = dict.fromkeys(i for i, row in zip(wanted, found, strict=True) if row < 0)
            raise MissingIdsError("the id map", list(absent))
        return rows

    def ids_of(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> list[ExternalId]:
        """Ids of rows, in request order.

        Raises:
            StoreError: If a row is outside ``0 … len(self) - 1``, or its entity was forgotten.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        outside = wanted[(wanted < 0) | (wanted >= len(self.ids))]
        if outside.size:
            raise StoreError(f"the id map has rows 0 to {len(self.ids) - 1}, not {int(outside[0])}.")
        found = [self.ids[row] for row in wanted.tolist()]
        for row, external_id in zip(wanted.tolist(), found, strict=True):
            if external_id == tombstone(row):
                raise StoreError(f"row {row} of the id map is taken, but its entity was forgotten.")
        return found

    def known_rows(self) -> RowArray:
        """Rows that stand for somebody, ascending: all but those of forgotten entities. (n,) int64."""
        return np.fromiter(self._rows.values(), np.int64, len(self._rows))

    @cached_property
    def _rows(self) -> dict[ExternalId, int]:
        return {i: row for row, i in enumerate(self.ids) if i != tombstone(row)}


def tombstone(row: int) -> ExternalId:
    """What stands in an id map's row whose entity was forgotten."""
    return f"{_FORGOTTEN}{row}"


def forget(rows: pa.Table, ids: Collection[ExternalId]) -> pa.Table:
    """Rows of an id map (`featurestore.schema.ID_MAP`, any order) with tombstones instead of these ids.

    Ids that are not in the map change nothing.
    """
    gone = set(ids)
    names = [
        tombstone(row) if external_id in gone else external_id
        for external_id, row in zip(rows[c.ID].to_pylist(), rows[c.ROW].to_pylist(), strict=True)
    ]
    return rows.set_column(0, rows.schema.field(c.ID), pa.array(names, pa.string()))


def table_of(entity: Entity) -> str:
    """The table that holds an entity's id map: ``source.item_ids`` or ``source.user_ids``."""
    return f"source.{entity}_ids"


def load(store: Store, entity: Entity, *, table: str | None = None, version: int | None = None) -> IdMap:
    """The id map of one version; newest if None. An empty map if the store has none yet.

    Args:
        store: Holds it.
        entity: Whose.
        table: Where it is, if not in the entity's own table: a redacted one may lie beside.
        version: Of the table.

    Raises:
        StoreError: If rows are missing or doubled: the map is damaged.
    """
    table = table or table_of(entity)
    if version is None and store.latest(table) is None:
        return IdMap(())
    rows = pl.DataFrame(store.read(table, version=version)).sort(c.ROW)
    expected = pl.int_range(rows.height, dtype=pl.Int64, eager=True)
    if not (rows[c.ROW] == expected).all() or rows[c.ID].n_unique() != rows.height:
        raise StoreError(
            f"{table!r} is damaged: its rows are not 0 to {rows.height - 1}, each with its own id."
        )
    return IdMap(tuple(rows[c.ID].to_list()))


def extend(store: Store, entity: Entity, ids: Iterable[ExternalId]) -> IdMap:
    """Append the ids that are new, in the order given; nothing is written if none is.

    Returns:
        The map with all ids; those that were there keep their rows.
    """
    known = load(store, entity)
    new = [i for i in dict.fromkeys(ids) if i not in known]
    if not new:
        return known
    table = table_of(entity)
    rows = pa.table(
        [pa.array(new, pa.string()), pa.array(range(len(known), len(known) + len(new)), pa.int64())],
        schema=schema.ID_MAP,
    )
    if not known.ids:
        store.upsert(table, rows.slice(0, 0), key=c.ID)  # the table is made with its primary key
        store.replace(table, rows)
    else:
        for start in range(0, len(new), _BATCH_ROWS):
            store.upsert(table, rows.slice(start, _BATCH_ROWS), key=c.ID)
    return IdMap((*known.ids, *new))

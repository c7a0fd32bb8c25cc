"""Source tables in the store: equal content makes no new version, a small change a small commit."""

import polars as pl
import pyarrow as pa

from featurestore.store import Store

ITEMS = "source.items"
USERS = "source.users"
INTERACTIONS = "source.interactions"
QUARANTINE = "source.quarantine"

_BATCH_ROWS = 10_000
_REWRITE_SHARE = 0.3
"""Beyond this share of changed rows a table is written anew: one commit, one version."""


def stored(store: Store, table: str) -> pl.DataFrame | None:
    """All rows of a source table, or None if the store has none yet."""
    return None if store.latest(table) is None else pl.DataFrame(store.read(table))


def to_arrow(rows: pl.DataFrame, contract: pa.Schema) -> pa.Table:
    """Rows under the types of the contract; columns beyond it keep theirs (text or lists of text)."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    fields = [
        contract.field(name)
        if name in contract.names
        else pa.field(name, _plain(table.schema.field(name).type))
        for name in rows.columns
    ]
    return table.cast(pa.schema(fields))


def write_whole(store: Store, table: str, rows: pl.DataFrame, contract: pa.Schema) -> bool:
    """Make ``rows`` the table's content, in one version.

    Returns:
        Whether a version was made: none is if the table holds these very rows in this order.
    """
    before = stored(store, table)
    if before is not None and before.columns == rows.columns and before.equals(rows):
        return False
    store.replace(table, to_arrow(rows, contract))
    return True


def write_keyed(store: Store, table: str, rows: pl.DataFrame, contract: pa.Schema, *, key: str) -> bool:
    """Make ``rows`` the table's content: changed rows are upserted and vanished ones deleted.

    A new table, other columns, or more than 30 % changed rows are one write of the whole table instead.

    Args:
        store: Where.
        table: A table with a primary key.
        rows: All rows, each key once.
        contract: Types of the known columns.
        key: The key column.

    Returns:
        Whether anything changed; if not, no version was made.
    """
    before = stored(store, table)
    whole = to_arrow(rows, contract)
    if before is None:
        store.upsert(table, whole.slice(0, 0), key=key)  # the table is made with its primary key
        store.replace(table, whole)
        return True
    if before.schema != rows.schema:
        store.replace(table, whole)
        return True
    changed = _changed(before, rows, key)
    gone = before.join(rows, on=key, how="anti")[key].to_list()
    if not changed.height and not gone:
        return False
    if changed.height + len(gone) > _REWRITE_SHARE * rows.height:
        store.replace(table, whole)
        return True
    for start in range(0, changed.height, _BATCH_ROWS):
        store.upsert(table, to_arrow(changed.slice(start, _BATCH_ROWS), contract), key=key)
    if gone:
        store.delete(table, gone, key=key)
    return True


def with_bare_ids(rows: pl.DataFrame | None, ids: pl.Series, contract: pa.Schema) -> pl.DataFrame:
    """An entity's rows, and a row with nothing but its id for every other id that occurs.

    Args:
        rows: Known rows, if any.
        ids: Ids that the interactions name.
        contract: Columns of the entity; the first is its id.

    Returns:
        Rows sorted by id.
    """
    key = contract.names[0]
    base = rows if rows is not None else pl.DataFrame(contract.empty_table())
    bare = pl.DataFrame({key: ids.unique()}).join(base, on=key, how="anti")
    return pl.concat([base, bare], how="diagonal_relaxed").sort(key)


def without_unnamed_bare_ids(rows: pl.DataFrame, ids: pl.Series, key: str) -> pl.DataFrame:
    """An entity's rows without those that hold nothing but an id that no interaction names.

    Args:
        rows: Stored rows.
        ids: Ids that the interactions name.
        key: The id column.
    """
    holds_something = [pl.col(name).is_not_null() for name in rows.columns if name != key]
    return rows.filter(pl.any_horizontal(pl.col(key).is_in(ids.to_list()), *holds_something))


def distinct_ids(events: pl.DataFrame | None, name: str) -> pl.Series:
    """The ids of one column, each once; none if there are no events."""
    return events[name].unique() if events is not None else pl.Series(name, [], dtype=pl.String)


def _changed(before: pl.DataFrame, rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Rows that are new, or differ from the stored row of the same key."""
    others = [name for name in rows.columns if name != key]
    found = pl.lit(value=True).alias("__found__")
    side_by_side = rows.join(before.with_columns(found), on=key, how="left", suffix="__before__")
    differs = [pl.col(name).ne_missing(pl.col(f"{name}__before__")) for name in others]
    is_new = pl.col("__found__").is_null()
    return side_by_side.filter(pl.any_horizontal(is_new, *differs)).select(rows.columns)


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    return kind

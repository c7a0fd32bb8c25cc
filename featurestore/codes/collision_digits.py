"""The digit that sets entities of equal codes apart: given out once, never again to another entity.

Every semantic id that a codebook ever gave out is a row of one table (`featurestore.schema.ISSUED_CODES`).
An entity whose codes come back, because it was away or its vector was another for a while, gets its old digit
back. So a semantic id that was ever released means one entity, for as long as its codebook is in use.
"""

from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.jobs.lock import FeatureLock
from featurestore.schema import ISSUED_CODES
from featurestore.spec import CodesSpec
from featurestore.store import Store

ROWS_PER_COMMIT: Final = 10_000
_PREFIX: Final = pl.col(c.CODES).cast(pl.List(pl.String)).list.join("-").alias(c.PREFIX)


def issued_table(spec: CodesSpec) -> str:
    """The table of all semantic ids that the spec's codebook gave out, whatever the vectors were made of."""
    return f"codes-issued.{spec.feature}.{spec.view}.{spec.codebook[:16]}"


def issue_digits(
    store: Store, table: str, coded: pl.DataFrame, *, before: pl.DataFrame, lock: FeatureLock
) -> pl.Series:
    """Digits of coded entities; new ones are stored before they are returned.

    Args:
        store: Holds the table, or takes it.
        table: See `issued_table`.
        coded: Columns ``id`` and ``codes`` (list of int32), one row per entity.
        before: The same and ``collision``: the semantic ids that stood so far, perhaps of other codebooks.
        lock: Held by whoever may give out digits of this table.

    Returns:
        Int32 digits in the order of ``coded``: the entity's own of an earlier time; else the one it had
        before if its codes are as before and nobody was given it; else the next free ones by ascending id.

    Raises:
        LockHeldError: If the lock was lost; nothing more is stored.
    """
    issued = _issued(store, table)
    wanted = coded.select(c.ID, _PREFIX)
    known = wanted.join(issued, on=[c.ID, c.PREFIX])
    kept = (
        wanted.join(known, on=c.ID, how="anti")
        .join(before.select(c.ID, _PREFIX, c.COLLISION), on=[c.ID, c.PREFIX])
        .join(issued, on=[c.PREFIX, c.COLLISION], how="anti")
    )
    rest = wanted.join(pl.concat([known, kept]), on=c.ID, how="anti")
    new = pl.concat([kept, _next_digits(rest, pl.concat([issued, kept]))])
    _store_issued(store, table, new, lock)
    return wanted.join(pl.concat([known, new]), on=c.ID, how="left", maintain_order="left")[c.COLLISION]


def _issued(store: Store, table: str) -> pl.DataFrame:
    if store.latest(table) is None:
        return pl.DataFrame(schema={c.ID: pl.String, c.PREFIX: pl.String, c.COLLISION: pl.Int32})
    return pl.DataFrame(store.read(table, columns=[c.ID, c.PREFIX, c.COLLISION]))


def _next_digits(entities: pl.DataFrame, issued: pl.DataFrame) -> pl.DataFrame:
    """(id, prefix, collision) of (id, prefix) rows: the first digits that nobody was given."""
    free = issued.group_by(c.PREFIX).agg(first=pl.col(c.COLLISION).max() + 1)
    place = pl.int_range(pl.len(), dtype=pl.Int32).over(c.PREFIX)
    digit = (pl.col("first").fill_null(0) + place).cast(pl.Int32).alias(c.COLLISION)
    numbered = entities.join(free, on=c.PREFIX, how="left").sort(c.PREFIX, c.ID).with_columns(digit)
    return numbered.select(c.ID, c.PREFIX, c.COLLISION)


def _store_issued(store: Store, table: str, issued: pl.DataFrame, lock: FeatureLock) -> None:
    semantic_id = pl.format("{}-{}", c.PREFIX, c.COLLISION).alias(c.SEMANTIC_ID)
    rows = issued.with_columns(semantic_id).select(ISSUED_CODES.names).sort(c.SEMANTIC_ID)
    for batch in rows.iter_slices(ROWS_PER_COMMIT):
        lock.check()
        store.upsert(table, batch.to_arrow().cast(ISSUED_CODES), key=c.SEMANTIC_ID)

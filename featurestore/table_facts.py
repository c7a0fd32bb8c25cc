"""What is measured of a table version before it is released: counts, event sets, a checksum."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from blake3 import blake3

from featurestore import columns as c
from featurestore.fragment_sums import FragmentSum, KnownSums, sum_fragments
from featurestore.ids import DIGEST_LENGTH
from featurestore.spec import AnySpec, Frozen, SourceSpec, table_name
from featurestore.store import Store

_SOURCE_KEYS: Final = {
    "items": (c.ITEM_ID,),
    "users": (c.USER_ID,),
    "item_ids": (c.ID,),
    "user_ids": (c.ID,),
}
_KIND_KEYS: Final = {
    "text": (c.ID,),
    "vector": (c.ID,),
    "graph": (c.SRC_ID, c.DST_ID),
    "codes": (c.ID,),
    "recommendations": (c.USER_ID, c.ITEM_ID),
}

_AUDITED: Final = {
    "text": (c.STATUS, c.TEXT, c.EVENT_SET),
    "vector": (c.EVENT_SET,),
    "codes": (c.EVENT_SET,),
}


class TableFacts(Frozen):
    """Measurements of one table version."""

    table: str
    """Where the rows are: of a version that is carried perhaps beside the spec's own table."""
    version: int
    num_rows: int
    num_failed: int = 0
    """Rows whose status is not ok."""
    num_repeated_ids: int = 0
    duplicate_text_share: float = 0.0
    """1 - distinct texts / good texts."""
    num_not_finite: int = 0
    num_zero: int = 0
    """Vectors of length zero."""
    num_outdated: int = 0
    """Vectors that were not made of the text beside them, see `featurestore.consistency`."""
    event_sets: tuple[str, ...] = ()
    """All event sets that good rows name, sorted."""
    checksum: str
    """`featurestore.row_sums` of the rows."""
    fragments: tuple[FragmentSum, ...] = ()
    """What the checksum is the sum of."""
    vectors_checksum: str = ""
    """The same of ids and vectors alone: equal vectors have one snapshot, whoever made them."""


def measure(
    store: Store,
    spec: AnySpec,
    version: int,
    known: KnownSums | None = None,
    *,
    table: str | None = None,
) -> TableFacts:
    """Measure one version.

    Reads the columns that are audited (ids, and of texts the texts), and of the others what changed since the
    known version: all of it, if none is known.

    Args:
        store: Holds the table.
        spec: What the table is.
        version: The version to measure.
        known: A version that was measured before, and released.
        table: Where its rows are; the spec's own table if None.

    Raises:
        MissingVersionError: If the table or version does not exist.
    """
    table, keys = table or table_name(spec), key_columns(spec)
    audit = _VectorAudit()
    sums = sum_fragments(store, table, version, known, on_read=audit)
    audited = [*keys, *_AUDITED.get(spec.kind, ())]
    frame = pl.DataFrame(store.read(table, version=version, columns=audited)) if audited else pl.DataFrame()
    sound = frame.filter(pl.col(c.STATUS) == c.STATUS_OK) if spec.kind == "text" else frame
    good = sound[c.TEXT] if spec.kind == "text" else None
    return TableFacts(
        table=table,
        version=version,
        num_rows=sums.num_rows,
        num_failed=0 if good is None else sums.num_rows - len(good),
        num_repeated_ids=sums.num_rows - frame.select(keys).n_unique() if keys and sums.num_rows else 0,
        duplicate_text_share=0.0 if good is None or good.is_empty() else 1 - good.n_unique() / len(good),
        num_not_finite=audit.num_not_finite,
        num_zero=audit.num_zero,
        event_sets=distinct_event_sets(sound),
        checksum=sums.checksum,
        fragments=sums.fragments,
        vectors_checksum=sums.vectors,
    )


def key_columns(spec: AnySpec) -> tuple[str, ...]:
    """The columns whose values together are unique in the spec's table; empty if there are none."""
    return _SOURCE_KEYS.get(spec.feature, ()) if isinstance(spec, SourceSpec) else _KIND_KEYS[spec.kind]


def rows_checksum(rows: pa.Table, keys: Sequence[str]) -> str:
    """The checksum that manifests of format 1 hold, of vector tables over ids and vectors only.

    128-bit blake3 over the Arrow stream of the rows, sorted by ``keys``: 32 hexadecimal characters.
    """
    if keys:
        rows = rows.take(sorted_positions(rows, keys))
    hasher = blake3(max_threads=blake3.AUTO)
    with pa.ipc.new_stream(_HashSink(hasher), rows.schema.remove_metadata()) as stream:
        stream.write_table(rows.combine_chunks().replace_schema_metadata(None), max_chunksize=65_536)
    return hasher.hexdigest()[:DIGEST_LENGTH]


def sorted_positions(rows: pa.Table, keys: Sequence[str]) -> pa.Array:
    """Positions that put rows in ascending order of ``keys``."""
    order = pl.DataFrame(rows.select(list(keys))).with_row_index("position").sort(keys, maintain_order=True)
    return order["position"].to_arrow()


def matrix_of(rows: pa.Table) -> npt.NDArray[np.float32]:
    """The vectors of rows: (n, d) float32, without a copy where the column is one chunk."""
    width = rows.schema.field(c.VECTOR).type.list_size
    values = rows[c.VECTOR].combine_chunks().flatten()
    return values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False).reshape(-1, width)


def distinct_event_sets(frame: pl.DataFrame) -> tuple[str, ...]:
    """All event sets that rows name, sorted."""
    if c.EVENT_SET not in frame.columns:
        return ()
    return tuple(sorted(frame[c.EVENT_SET].drop_nulls().unique().to_list()))


@dataclass(slots=True)
class _VectorAudit:
    """Counts vectors that no release may hold, among the rows that it is told of."""

    num_not_finite: int = 0
    num_zero: int = 0

    def __call__(self, rows: pa.Table) -> None:
        if c.VECTOR not in rows.column_names:
            return
        vectors = matrix_of(rows)
        self.num_not_finite += int(np.count_nonzero(~np.isfinite(vectors).all(axis=1)))
        self.num_zero += int(np.count_nonzero(~vectors.any(axis=1)))


class _HashSink:
    """A write-only file that Arrow streams into."""

    closed = False

    def __init__(self, hasher: blake3) -> None:
        self._hasher = hasher

    def write(self, data: bytes) -> int:
        """Take the bytes in."""
        self._hasher.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Nothing is open."""

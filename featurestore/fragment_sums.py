"""Checksums of table versions, fragment by fragment: only what changed since a known version is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import MissingVersionError
from featurestore.row_sums import add_sums, sum_rows, sum_text
from featurestore.spec import Frozen
from featurestore.store import Fragment, Store

VECTOR_CONTENT: Final = (c.ID, c.VECTOR)
"""What of a vector table readers of snapshots get."""


class FragmentSum(Frozen):
    """Checksum of the rows that a table version has of one fragment, see `featurestore.store.Fragment`."""

    name: str
    deleted: str = ""
    num_rows: int
    checksum: str
    """`featurestore.row_sums` of the rows."""
    vectors: str = ""
    """The same of ids and vectors alone, where the rows have vectors."""


@dataclass(frozen=True, slots=True)
class KnownSums:
    """The sums of an earlier version of the same table."""

    version: int
    fragments: tuple[FragmentSum, ...]


@dataclass(frozen=True, slots=True)
class VersionSums:
    """The sums of a version, by fragment in stored order."""

    fragments: tuple[FragmentSum, ...]

    @property
    def num_rows(self) -> int:
        """Rows of the version."""
        return sum(fragment.num_rows for fragment in self.fragments)

    @property
    def checksum(self) -> str:
        """Of all rows, in any order, whatever fragments they lie in."""
        return sum_text(add_sums(*(int(fragment.checksum, 16) for fragment in self.fragments)))

    @property
    def vectors(self) -> str:
        """Of all ids and vectors; empty if the rows have none."""
        sums = [int(fragment.vectors, 16) for fragment in self.fragments if fragment.vectors]
        return sum_text(add_sums(*sums)) if sums else ""


def sum_fragments(
    store: Store,
    table: str,
    version: int,
    known: KnownSums | None = None,
    *,
    on_read: Callable[[pa.Table], None] = lambda _: None,
) -> VersionSums:
    """Sum up a version.

    A fragment that the known version has as well costs the rows that were deleted of it since; another one
    is read whole, one at a time.

    Args:
        store: Holds the table.
        table: Its name.
        version: The version to sum up.
        known: An earlier version and its sums.
        on_read: Told of the rows of every fragment that is read whole: all that the known version has not.

    Raises:
        MissingVersionError: If the table or version does not exist.
    """
    before = {each.name: each for each in known.fragments} if known else {}
    sums: list[FragmentSum] = []
    for fragment in store.fragments(table, version=version):
        found = before.get(fragment.name)
        if found is not None and known is not None and found.deleted != fragment.deleted:
            found = _without_deleted(store, table, (known.version, version), fragment, found)
        if found is None:
            rows = store.read_fragment(table, fragment.name, version=version)
            on_read(rows)
            found = sum_fragment(fragment, rows)
        sums.append(found)
    return VersionSums(tuple(sums))


def sum_fragment(fragment: Fragment, rows: pa.Table) -> FragmentSum:
    """The sum of a fragment whose rows these are."""
    vectors = sum_text(_vector_sum(rows)) if c.VECTOR in rows.column_names else ""
    return FragmentSum(
        name=fragment.name,
        deleted=fragment.deleted,
        num_rows=rows.num_rows,
        checksum=sum_text(sum_rows(rows)),
        vectors=vectors,
    )


def _without_deleted(
    store: Store, table: str, versions: tuple[int, int], fragment: Fragment, before: FragmentSum
) -> FragmentSum | None:
    """What is left of a known sum; None if the known version is gone, or does not fit."""
    known, version = versions
    try:
        gone = store.read_fragment(table, fragment.name, version=known, gone_from=version)
    except MissingVersionError:
        return None
    if before.num_rows - gone.num_rows != fragment.num_rows:
        return None
    vectors = sum_text(add_sums(int(before.vectors, 16), -_vector_sum(gone))) if before.vectors else ""
    return FragmentSum(
        name=fragment.name,
        deleted=fragment.deleted,
        num_rows=fragment.num_rows,
        checksum=sum_text(add_sums(int(before.checksum, 16), -sum_rows(gone))),
        vectors=vectors,
    )


def _vector_sum(rows: pa.Table) -> int:
    return sum_rows(rows.select(VECTOR_CONTENT))

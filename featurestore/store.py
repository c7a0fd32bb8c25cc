"""The store boundary: versioned tables and create-once objects.

Adapters: `featurestore.stores.memory` (the fake) and `featurestore.stores.lancedb_store`. Both pass
``tests/contracts/test_store_contract.py``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TableVersion:
    """One immutable version of a table."""

    table: str
    version: int
    num_rows: int


@dataclass(frozen=True, slots=True)
class StoredSize:
    """What a table takes on disk, all its versions together."""

    num_bytes: int
    num_files: int
    num_versions: int


@dataclass(frozen=True, slots=True)
class VersionAge:
    """A version that is stored, and how long ago it was committed."""

    version: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class Fragment:
    """Rows of a table that lie together in files, as one version has them.

    Attributes:
        name: Of the files. They never change: whatever the version, equal names mean equal files.
        deleted: Names what was deleted of their rows, empty if nothing was: where ``name`` and ``deleted``
            are equal, so are all rows.
        num_rows: Rows that are left.
    """

    name: str
    deleted: str
    num_rows: int


class ObjectStore(Protocol):
    """Small immutable files beside the tables: manifests, aliases, feature records, snapshots.

    Paths are relative, ``/``-separated, without ``..``.
    """

    def put_new(self, path: str, data: bytes) -> bool:
        """Create the object if absent, atomically. False if it exists already (whatever it holds)."""
        ...

    def read(self, path: str) -> bytes:
        """The object's bytes.

        Raises:
            MissingVersionError: If there is no such object.
        """
        ...

    def list(self, prefix: str) -> list[str]:
        """All paths that start with ``prefix``, sorted."""
        ...

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """Bytes of all objects, and of all files of tables, whose path starts with ``prefix``."""
        ...

    def delete(self, path: str) -> None:
        """Remove the object; nothing happens if there is none."""
        ...


class Store(Protocol):
    """Versioned tables. A half-written version is never visible; a version never changes."""

    @property
    def uri(self) -> str:
        """Where the store is: a folder, ``s3://…`` or ``memory://…``."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The objects beside the tables."""
        ...

    def tables(self) -> list[str]:
        """Names of all tables, sorted."""
        ...

    def latest(self, table: str) -> TableVersion | None:
        """The newest version, or None if the table does not exist."""
        ...

    def replace(self, table: str, rows: pa.Table) -> TableVersion:
        """Make ``rows`` the whole content of the table, as a new version, creating the table if need be."""
        ...

    def upsert(self, table: str, rows: pa.Table, *, key: str) -> TableVersion:
        """Insert rows, or replace those of equal ``key`` (a non-null string column), as one new version.

        Args:
            table: Created if it does not exist, with ``key`` as its primary key.
            rows: A bounded batch: at most some ten thousand rows, with the table's columns in any order.
            key: The same column for the life of the table.

        Raises:
            StoreError: If ``rows`` holds a key twice, or another schema than the table.
        """
        ...

    def add_columns(self, table: str, fields: pa.Schema) -> TableVersion:
        """Add columns, null in every row, as a new version. Costs the same whatever the number of rows.

        Args:
            table: Table name.
            fields: Nullable columns; those that the table has already are left as they are.

        Raises:
            MissingVersionError: If the table does not exist.
        """
        ...

    def delete(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """Remove the rows whose ``key`` is in ``ids``, as a new version. Absent ids are ignored."""
        ...

    def erase(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """Remove rows for good: no file of the new version holds them, nor rows that were deleted before.

        Rewrites the files that held such rows; the order of the rows may change. Older versions hold them
        until `compact` removes these.

        Args:
            table: Table name.
            ids: Values of ``key``; absent ones are ignored, so none at all erases what was deleted before.
            key: A string column.

        Raises:
            MissingVersionError: If the table does not exist.
        """
        ...

    def deleted_rows(self, table: str, *, version: int, columns: Sequence[str]) -> pa.Table:
        """Rows that no reader of a version sees, and that its files hold all the same.

        Raises:
            MissingVersionError: If the table or version does not exist.
        """
        ...

    def compact(self, table: str, *, keep_versions: Collection[int], grace: timedelta) -> None:
        """Merge small files and remove versions, leaving the newest rows and the kept versions as they are.

        Nobody else may write the table meanwhile; readers may read it.

        Args:
            table: Table name; nothing happens if it does not exist.
            keep_versions: Versions that stay; those that do not exist are ignored. The newest stays anyway.
            grace: Versions that were replaced more recently stay too, for readers that have just begun.

        Raises:
            StorageFullError: If there is no room for the merged files.
        """
        ...

    def stored_size(self, table: str) -> StoredSize:
        """What a table takes; zeros if it does not exist. Costs one listing of its files."""
        ...

    def read(
        self,
        table: str,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        key: str = "id",
    ) -> pa.Table:
        """Rows of one version.

        Args:
            table: Table name.
            version: Newest if None.
            columns: All if None.
            ids: If given, exactly these rows, in this order (repeats allowed); needs ``key``.
            key: The column that ``ids`` refers to.

        Raises:
            MissingVersionError: If the table or version does not exist.
            MissingIdsError: If some of ``ids`` are not there; all of them are named.
        """
        ...

    def versions(self, table: str) -> list[VersionAge]:
        """All versions that are stored, oldest first; empty if the table does not exist."""
        ...

    def fragments(self, table: str, *, version: int) -> list[Fragment]:
        """What a version is made of, in stored order: together all its rows, each once. No row is read.

        Raises:
            MissingVersionError: If the table or version does not exist.
        """
        ...

    def read_fragment(self, table: str, name: str, *, version: int, gone_from: int | None = None) -> pa.Table:
        """The rows that a version has of one fragment, in stored order.

        Args:
            table: Table name.
            name: `Fragment.name`.
            version: A version that has the fragment.
            gone_from: If given, only those rows that this later version, of the same fragment, has no more.

        Raises:
            MissingVersionError: If there is no such version, or it has no such fragment.
        """
        ...

    def protect(self, table: str, version: int) -> None:
        """Mark a version so that other tools' clean-ups spare it; `compact` removes marks no longer needed.

        Raises:
            MissingVersionError: If the table or version does not exist.
        """
        ...

    def drop(self, table: str) -> None:
        """Remove a table with all its versions; nothing happens if there is none. Nobody may be using it."""
        ...

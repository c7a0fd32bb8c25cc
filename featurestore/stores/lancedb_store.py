"""The LanceDB store: tables in a folder or on S3, one Lance version per commit.

Layout: ``<uri>/tables`` is a LanceDB database that any LanceDB or Lance reader opens; objects lie beside it.
Every table has its key as LanceDB's primary key and merges without a scalar index: with an index on the key,
concurrent merges of the same new keys duplicate rows (lancedb#3377).
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from featurestore.errors import MissingVersionError, StoreError, UsageError
from featurestore.objects import LocalObjects
from featurestore.s3_objects import S3Objects
from featurestore.store import Fragment, ObjectStore, StoredSize, TableVersion, VersionAge
from featurestore.store_format import FORMAT, FormatGuard, GuardedObjects, StoredFiles
from featurestore.stores.lance_compaction import ages, merge_fragments, protect_version, remove_versions
from featurestore.stores.lance_database import LanceDatabase
from featurestore.stores.lance_fragments import (
    deleted_rows,
    list_fragments,
    live_rows,
    rewrite_without_deleted,
    rows_gone_from,
)
from featurestore.stores.lance_rows import delete_rows, is_in, key_of, merge_rows, plain_schema, with_key
from featurestore.stores.rows import check_storable, check_upsert, new_fields, select_rows

if TYPE_CHECKING:
    from lancedb.table import Table as LanceTable

_FILTERED_IDS = 5_000
"""Up to so many ids are found by a filter; beyond that the whole column is faster."""


class LanceStore:
    """A store in a local folder or under ``s3://bucket/prefix``. See `featurestore.store.Store`.

    Args:
        uri: The folder, or the address on S3.
        oldest_writable: Stores of an older format are read only, see `featurestore.store_format`.
    """

    def __init__(self, uri: str, *, oldest_writable: int = FORMAT) -> None:
        folder: Path | None = None
        objects: StoredFiles
        if uri.startswith("s3://"):
            bucket, _, prefix = uri.removeprefix("s3://").partition("/")
            if not bucket:
                raise UsageError(f"s3:// needs a bucket, got {uri!r}.", hint="Write s3://bucket/prefix.")
            self.uri = f"s3://{bucket}/{prefix.strip('/')}".rstrip("/")
            objects = S3Objects(bucket, prefix.strip("/"))
        else:
            folder = Path(uri).expanduser().absolute()
            self.uri = str(folder)
            objects = LocalObjects(folder)
        self._guard = FormatGuard(objects, self.uri, oldest_writable=oldest_writable)
        self.objects: ObjectStore = GuardedObjects(objects, self._guard)
        self._database = LanceDatabase(self.uri, folder)

    def tables(self) -> list[str]:
        """See `Store.tables`. A table whose first commit never ended is none."""
        self._guard.check_read()
        return sorted(name for name in self._database.names() if self._open(name) is not None)

    def latest(self, table: str) -> TableVersion | None:
        """See `Store.latest`."""
        handle = self._open(table)
        return None if handle is None else self._version_of(table, handle)

    def replace(self, table: str, rows: pa.Table) -> TableVersion:
        """See `Store.replace`. Rows are read back in the order given."""
        check_storable(table, rows)
        self._guard.check_write()
        with self._database.creation_lock():
            handle = self._open(table)
            made = self._database.make(table, with_key(rows, None)) if handle is None else None
            if made is None:
                key = key_of(self._at(table, None).schema)
                keyed = with_key(rows, key if key in rows.column_names else None)
                made = self._database.overwrite(table, keyed)
        return self._version_of(table, made)

    def upsert(self, table: str, rows: pa.Table, *, key: str) -> TableVersion:
        """See `Store.upsert`."""
        check_storable(table, rows)
        self._guard.check_write()
        handle = self._open(table)
        check_upsert(table, rows, key=key, schema=None if handle is None else plain_schema(handle.schema))
        if handle is None:
            with self._database.creation_lock():
                handle = self._open(table)
                made = self._database.make(table, with_key(rows, key)) if handle is None else None
            if made is not None:
                return self._version_of(table, made)
            handle = self._at(table, None)
            check_upsert(table, rows, key=key, schema=plain_schema(handle.schema))
        self._check_key(table, handle, key)
        if rows.num_rows:
            self._database.change(table, handle, lambda: merge_rows(handle, rows, key))
        return self._version_of(table, handle)

    def add_columns(self, table: str, fields: pa.Schema) -> TableVersion:
        """See `Store.add_columns`: a change of the schema alone, no file is written anew."""
        handle = self._at(table, None)
        self._guard.check_write()
        self._database.change(table, handle, lambda: _add_missing(handle, fields))
        return self._version_of(table, handle)

    def delete(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """See `Store.delete`."""
        handle = self._at(table, None)
        self._guard.check_write()
        self._check_column(table, handle, key)
        if ids:
            self._database.change(table, handle, lambda: delete_rows(handle, ids, key))
        return self._version_of(table, self._at(table, None))

    def erase(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """See `Store.erase`."""
        self.delete(table, ids, key=key)
        handle = self._at(table, None)
        self._database.change(table, handle, lambda: rewrite_without_deleted(handle.to_lance()))
        return self._version_of(table, self._at(table, None))

    def deleted_rows(self, table: str, *, version: int, columns: Sequence[str]) -> pa.Table:
        """See `Store.deleted_rows`: those of fragments with deletions."""
        handle = self._at(table, version)
        return self._database.run(table, lambda: deleted_rows(handle.to_lance(), columns))

    def compact(self, table: str, *, keep_versions: Collection[int], grace: timedelta) -> None:
        """See `Store.compact`. Files of a writer that was killed go with the next one after seven days."""
        handle = self._open(table)
        if handle is None:
            return
        self._guard.check_write()
        self._database.change(table, handle, lambda: merge_fragments(handle.to_lance()))
        newest = self._at(table, None)
        self._database.run(table, lambda: remove_versions(newest.to_lance(), keep_versions, grace))

    def versions(self, table: str) -> list[VersionAge]:
        """See `Store.versions`."""
        handle = self._open(table)
        if handle is None:
            return []
        return self._database.run(table, lambda: ages(handle.to_lance()))

    def fragments(self, table: str, *, version: int) -> list[Fragment]:
        """See `Store.fragments`: those of Lance."""
        handle = self._at(table, version)
        return self._database.run(table, lambda: list_fragments(handle.to_lance()))

    def read_fragment(self, table: str, name: str, *, version: int, gone_from: int | None = None) -> pa.Table:
        """See `Store.read_fragment`."""
        handle = self._at(table, version)
        if gone_from is None:
            rows = self._database.run(table, lambda: live_rows(handle.to_lance(), name))
        else:
            later = self._at(table, gone_from)
            rows = self._database.run(
                table, lambda: rows_gone_from(later.to_lance(), handle.to_lance(), name)
            )
        return pa.Table.from_arrays(rows.columns, schema=plain_schema(rows.schema))

    def protect(self, table: str, version: int) -> None:
        """See `Store.protect`: a tag of Lance."""
        self._guard.check_write()
        handle = self._at(table, version)
        self._database.run(table, lambda: protect_version(handle.to_lance(), version))

    def drop(self, table: str) -> None:
        """See `Store.drop`."""
        if self._open(table) is None:
            return
        self._guard.check_write()
        with self._database.creation_lock():
            self._database.drop(table)

    def stored_size(self, table: str) -> StoredSize:
        """See `Store.stored_size`."""
        handle = self._open(table)
        if handle is None:
            return StoredSize(0, 0, 0)
        sizes = self.objects.sizes(f"tables/{table}.lance/")
        return StoredSize(sum(sizes.values()), len(sizes), len(handle.list_versions()))

    def read(
        self,
        table: str,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        key: str = "id",
    ) -> pa.Table:
        """See `Store.read`. Up to 5,000 ids are filtered in the store; more read the columns once."""
        handle = self._at(table, version)
        schema = plain_schema(handle.schema)
        wanted = list(schema.names if columns is None else columns)
        read = wanted if ids is None else list(dict.fromkeys([*wanted, key]))
        for name in read:
            self._check_column(table, handle, name)
        chosen = handle.search().select(read)
        if ids is not None and len(ids) <= _FILTERED_IDS:
            chosen = chosen.where(is_in(key, ids) if ids else "false")
        found: pa.Table = self._database.run(table, chosen.to_arrow)
        found = pa.Table.from_arrays(
            found.select(read).columns, schema=pa.schema([schema.field(n) for n in read])
        )
        return select_rows(found, table, ids=ids, key=key).select(wanted)

    def _open(self, table: str) -> "LanceTable | None":
        """A handle that stays on the newest version, or None if the table does not exist."""
        self._guard.check_read()
        return self._database.open(table)

    def _at(self, table: str, version: int | None) -> "LanceTable":
        handle = self._open(table)
        if handle is None:
            raise MissingVersionError(f"the store holds no table {table!r}.")
        if version is None or version == handle.version:
            return handle
        self._database.run(table, lambda: handle.checkout(version))
        return handle

    def _version_of(self, table: str, handle: "LanceTable") -> TableVersion:
        num_rows = self._database.run(table, handle.count_rows)
        return TableVersion(table, int(handle.version), int(num_rows))

    def _check_key(self, table: str, handle: "LanceTable", key: str) -> None:
        known = key_of(handle.schema)
        if known is not None and known != key:
            raise StoreError(f"table {table!r} has the key {known!r}; rows came with the key {key!r}.")

    def _check_column(self, table: str, handle: "LanceTable", name: str) -> None:
        if name not in handle.schema.names:
            raise StoreError(
                f"table {table!r} has no column {name!r}; it has {', '.join(handle.schema.names)}."
            )


def _add_missing(handle: "LanceTable", fields: pa.Schema) -> None:
    if len(added := new_fields(handle.schema, fields)):
        handle.add_columns(added)

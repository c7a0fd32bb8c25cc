"""The LanceDB store: tables in a folder or on S3, one Lance version per commit.

Layout: ``<uri>/tables`` is a LanceDB database that any LanceDB or Lance reader opens; objects lie beside it.
Every table has its key as LanceDB's primary key and merges without a scalar index: with an index on the key,
concurrent merges of the same new keys duplicate rows (lancedb#3377).
"""

import os
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from featurestore.errors import FeatureStoreError, MissingVersionError, StoreError, UsageError
from featurestore.objects import LocalObjects, disk_error
from featurestore.s3_objects import S3Objects, s3_endpoint
from featurestore.store import Fragment, ObjectStore, StoredSize, TableVersion, VersionAge
from featurestore.store_format import FORMAT, FormatGuard, GuardedObjects, StoredFiles
from featurestore.stores.lance_compaction import ages, merge_fragments, protect_version, remove_versions
from featurestore.stores.lance_fragments import (
    deleted_rows,
    list_fragments,
    live_rows,
    rewrite_without_deleted,
    rows_gone_from,
)
from featurestore.stores.lance_rows import is_in, key_of, merge_rows, plain_schema, with_key
from featurestore.stores.rows import check_storable, check_upsert, new_fields, select_rows

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table as LanceTable

_FILTERED_IDS = 5_000
"""Up to so many ids are found by a filter; beyond that the whole column is faster."""
_COMMIT_ATTEMPTS = 8
_Result = TypeVar("_Result")


class LanceStore:
    """A store in a local folder or under ``s3://bucket/prefix``. See `featurestore.store.Store`.

    On a local disk a file lock guards the making and replacing of tables. On S3 nothing guards it: two jobs
    must not make the same table at once (jobs hold the feature's lock).

    Args:
        uri: The folder, or the address on S3.
        oldest_writable: Stores of an older format are read only, see `featurestore.store_format`.
    """

    def __init__(self, uri: str, *, oldest_writable: int = FORMAT) -> None:
        self._folder: Path | None = None
        objects: StoredFiles
        if uri.startswith("s3://"):
            bucket, _, prefix = uri.removeprefix("s3://").partition("/")
            if not bucket:
                raise UsageError(f"s3:// needs a bucket, got {uri!r}.", hint="Write s3://bucket/prefix.")
            self.uri = f"s3://{bucket}/{prefix.strip('/')}".rstrip("/")
            objects = S3Objects(bucket, prefix.strip("/"))
        else:
            self._folder = Path(uri).expanduser().absolute()
            self.uri = str(self._folder)
            objects = LocalObjects(self._folder)
        self._guard = FormatGuard(objects, self.uri, oldest_writable=oldest_writable)
        self.objects: ObjectStore = GuardedObjects(objects, self._guard)
        self._connection: DBConnection | None = None

    def tables(self) -> list[str]:
        """See `Store.tables`. A table whose first commit never ended is none."""
        self._guard.check_read()
        if self._nothing_there():
            return []
        names: list[str] = []
        token: str | None = None
        with self._store_errors("the list of tables"):
            while True:
                page = self._database.list_tables(page_token=token)
                names += page.tables
                token = page.page_token
                if not token:
                    break
        return sorted(name for name in names if self._open(name) is not None)

    def latest(self, table: str) -> TableVersion | None:
        """See `Store.latest`."""
        handle = self._open(table)
        return None if handle is None else self._version_of(table, handle)

    def replace(self, table: str, rows: pa.Table) -> TableVersion:
        """See `Store.replace`. Rows are read back in the order given."""
        check_storable(table, rows)
        self._guard.check_write()
        with self._creation_lock():
            handle = self._open(table)
            key = None if handle is None else key_of(handle.schema)
            keyed = with_key(rows, key if key in rows.column_names else None)
            mode = "create" if handle is None else "overwrite"
            made = self._commit(table, lambda: self._database.create_table(table, keyed, mode=mode))
        return self._version_of(table, made)

    def upsert(self, table: str, rows: pa.Table, *, key: str) -> TableVersion:
        """See `Store.upsert`."""
        check_storable(table, rows)
        self._guard.check_write()
        handle = self._open(table)
        check_upsert(table, rows, key=key, schema=None if handle is None else plain_schema(handle.schema))
        if handle is None:
            with self._creation_lock():
                handle = self._open(table)
                if handle is None:
                    keyed = with_key(rows, key)
                    made = self._commit(table, lambda: self._database.create_table(table, keyed))
                    return self._version_of(table, made)
            check_upsert(table, rows, key=key, schema=plain_schema(handle.schema))
        self._check_key(table, handle, key)
        if rows.num_rows:
            self._commit(table, lambda: merge_rows(handle, rows, key))
        return self._version_of(table, handle)

    def add_columns(self, table: str, fields: pa.Schema) -> TableVersion:
        """See `Store.add_columns`: a change of the schema alone, no file is written anew."""
        handle = self._at(table, None)
        self._guard.check_write()
        added = new_fields(handle.schema, fields)
        if len(added):
            self._commit(table, lambda: handle.add_columns(added))
        return self._version_of(table, handle)

    def delete(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """See `Store.delete`."""
        handle = self._at(table, None)
        self._guard.check_write()
        self._check_column(table, handle, key)
        if ids:
            self._commit(table, lambda: handle.delete(is_in(key, ids)))
        return self._version_of(table, handle)

    def erase(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """See `Store.erase`."""
        self.delete(table, ids, key=key)
        with self._store_errors(table):
            rewrite_without_deleted(self._at(table, None).to_lance())
        return self._version_of(table, self._at(table, None))

    def deleted_rows(self, table: str, *, version: int, columns: Sequence[str]) -> pa.Table:
        """See `Store.deleted_rows`: those of fragments with deletions."""
        with self._store_errors(table):
            return deleted_rows(self._at(table, version).to_lance(), columns)

    def compact(self, table: str, *, keep_versions: Collection[int], grace: timedelta) -> None:
        """See `Store.compact`. Files of a writer that was killed go with the next one after seven days."""
        if self._open(table) is None:
            return
        self._guard.check_write()
        with self._store_errors(table):
            merge_fragments(self._at(table, None).to_lance())
            remove_versions(self._at(table, None).to_lance(), keep_versions, grace)

    def versions(self, table: str) -> list[VersionAge]:
        """See `Store.versions`."""
        handle = self._open(table)
        if handle is None:
            return []
        with self._store_errors(table):
            return ages(handle.to_lance())

    def fragments(self, table: str, *, version: int) -> list[Fragment]:
        """See `Store.fragments`: those of Lance."""
        with self._store_errors(table):
            return list_fragments(self._at(table, version).to_lance())

    def read_fragment(self, table: str, name: str, *, version: int, gone_from: int | None = None) -> pa.Table:
        """See `Store.read_fragment`."""
        with self._store_errors(table):
            dataset = self._at(table, version).to_lance()
            if gone_from is None:
                rows = live_rows(dataset, name)
            else:
                rows = rows_gone_from(self._at(table, gone_from).to_lance(), dataset, name)
        return pa.Table.from_arrays(rows.columns, schema=plain_schema(rows.schema))

    def protect(self, table: str, version: int) -> None:
        """See `Store.protect`: a tag of Lance."""
        self._guard.check_write()
        with self._store_errors(table):
            protect_version(self._at(table, version).to_lance(), version)

    def drop(self, table: str) -> None:
        """See `Store.drop`."""
        if self._open(table) is None:
            return
        self._guard.check_write()
        with self._creation_lock(), self._store_errors(table):
            self._database.drop_table(table)

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
        with self._store_errors(table):
            query = handle.search().select(read)
            if ids is not None and len(ids) <= _FILTERED_IDS:
                query = query.where(is_in(key, ids) if ids else "false")
            found: pa.Table = query.to_arrow()
        found = pa.Table.from_arrays(
            found.select(read).columns, schema=pa.schema([schema.field(n) for n in read])
        )
        return select_rows(found, table, ids=ids, key=key).select(wanted)

    @property
    def _database(self) -> "DBConnection":
        if self._connection is None:
            import lancedb

            with self._store_errors("the table folder"):
                self._connection = lancedb.connect(
                    f"{self.uri}/tables", storage_options=self._storage_options()
                )
        return self._connection

    def _storage_options(self) -> dict[str, str] | None:
        endpoint = s3_endpoint()
        if self._folder is not None or endpoint is None:
            return None
        return {"aws_endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}

    def _nothing_there(self) -> bool:
        return self._folder is not None and not (self._folder / "tables").is_dir()

    def _open(self, table: str) -> "LanceTable | None":
        """A handle that stays on the newest version, or None if the table does not exist."""
        self._guard.check_read()
        if self._nothing_there():
            return None
        try:
            with self._store_errors(table):
                return self._database.open_table(table)
        except MissingVersionError:
            return None

    def _at(self, table: str, version: int | None) -> "LanceTable":
        handle = self._open(table)
        if handle is None:
            raise MissingVersionError(f"the store holds no table {table!r}.")
        if version is None or version == handle.version:
            return handle
        with self._store_errors(table):
            handle.checkout(version)
        return handle

    def _version_of(self, table: str, handle: "LanceTable") -> TableVersion:
        with self._store_errors(table):
            return TableVersion(table, int(handle.version), int(handle.count_rows()))

    def _check_key(self, table: str, handle: "LanceTable", key: str) -> None:
        known = key_of(handle.schema)
        if known is not None and known != key:
            raise StoreError(f"table {table!r} has the key {known!r}; rows came with the key {key!r}.")

    def _check_column(self, table: str, handle: "LanceTable", name: str) -> None:
        if name not in handle.schema.names:
            raise StoreError(
                f"table {table!r} has no column {name!r}; it has {', '.join(handle.schema.names)}."
            )

    def _commit(self, table: str, operation: Callable[[], _Result]) -> _Result:
        """Run a write, again if another writer's commit came first."""
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                with self._store_errors(table):
                    return operation()
            except StoreError as error:
                if "commit conflict" not in str(error.__cause__) or attempt == _COMMIT_ATTEMPTS - 1:
                    raise
                time.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")

    @contextmanager
    def _creation_lock(self) -> Generator[None]:
        if self._folder is None:
            yield
            return
        import fcntl

        lock = self._folder / "locks" / "table-creation"
        with self._store_errors("table-creation lock"):
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _store_errors(self, subject: str) -> Generator[None]:
        try:
            yield
        except FeatureStoreError:
            raise
        except (RuntimeError, OSError, ValueError) as error:
            raise self._as_store_error(error, subject) from error

    def _as_store_error(self, error: Exception, subject: str) -> FeatureStoreError:
        text = str(error)
        if "was not found" in text or "no longer exists" in text:
            return MissingVersionError(
                f"the store holds no such version of {subject!r}: {text.splitlines()[0]}"
            )
        if "No space left" in text or isinstance(error, OSError):
            return disk_error(error, f"{subject!r} of {self.uri}")
        return StoreError(
            f"table {subject!r} of {self.uri} cannot be read or written. "
            f"LanceDB says: {text.splitlines()[0][:300]}",
            hint=f"Files may be missing or damaged. Restore tables/{subject}.lance from a copy, or move it "
            "away and run the job that makes it again; other tables are not affected.",
        )

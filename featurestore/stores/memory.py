"""A store in this process's memory: for dry runs and tests."""

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pyarrow as pa

from featurestore.errors import MissingVersionError, StoreError
from featurestore.store import Fragment, StoredSize, TableVersion, VersionAge
from featurestore.stores.rows import check_storable, check_upsert, new_fields, select_rows


@dataclass
class MemoryObjects:
    """Objects in a dictionary."""

    _data: dict[str, bytes] = field(default_factory=dict[str, bytes])
    _creation: threading.Lock = field(default_factory=threading.Lock)

    def put_new(self, path: str, data: bytes) -> bool:
        """See `ObjectStore.put_new`."""
        with self._creation:
            if path in self._data:
                return False
            self._data[path] = data
            return True

    def read(self, path: str) -> bytes:
        """See `ObjectStore.read`."""
        try:
            return self._data[path]
        except KeyError:
            raise MissingVersionError(f"the store holds no object {path!r}.") from None

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore.list`."""
        return sorted(path for path in tuple(self._data) if path.startswith(prefix))

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """See `ObjectStore.sizes`."""
        return {path: len(data) for path, data in tuple(self._data.items()) if path.startswith(prefix)}

    def delete(self, path: str) -> None:
        """See `ObjectStore.delete`."""
        self._data.pop(path, None)


@dataclass(frozen=True)
class _Version:
    rows: pa.Table
    committed_at: float = field(default_factory=time.monotonic)


class MemoryStore:
    """Every version of every table, as Arrow tables by number."""

    def __init__(self, name: str = "scratch") -> None:
        self.uri = f"memory://{name}"
        self.objects = MemoryObjects()
        self._tables: dict[str, dict[int, _Version]] = {}

    def tables(self) -> list[str]:
        """See `Store.tables`."""
        return sorted(self._tables)

    def latest(self, table: str) -> TableVersion | None:
        """See `Store.latest`."""
        if table not in self._tables:
            return None
        number, version = next(reversed(self._tables[table].items()))
        return TableVersion(table, number, version.rows.num_rows)

    def replace(self, table: str, rows: pa.Table) -> TableVersion:
        """See `Store.replace`."""
        check_storable(table, rows)
        versions = self._tables.setdefault(table, {})
        number = max(versions, default=0) + 1
        versions[number] = _Version(rows.combine_chunks())
        return TableVersion(table, number, rows.num_rows)

    def upsert(self, table: str, rows: pa.Table, *, key: str) -> TableVersion:
        """See `Store.upsert`."""
        current = self.read(table) if table in self._tables else None
        check_upsert(table, rows, key=key, schema=current.schema if current is not None else None)
        if current is None:
            return self.replace(table, rows)
        kept = _without(current, rows[key].to_pylist(), key)
        return self.replace(table, pa.concat_tables([kept, rows.select(kept.column_names)]))

    def add_columns(self, table: str, fields: pa.Schema) -> TableVersion:
        """See `Store.add_columns`."""
        rows = self.read(table)
        for added in new_fields(rows.schema, fields):
            rows = rows.append_column(added, pa.nulls(rows.num_rows, added.type))
        return self.replace(table, rows)

    def delete(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """See `Store.delete`."""
        return self.replace(table, _without(self.read(table), ids, key))

    def erase(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """See `Store.erase`."""
        return self.delete(table, ids, key=key)

    def deleted_rows(self, table: str, *, version: int, columns: Sequence[str]) -> pa.Table:
        """See `Store.deleted_rows`: there are none, every version holds its own rows."""
        return self.read(table, version=version, columns=columns).slice(0, 0)

    def compact(self, table: str, *, keep_versions: Collection[int], grace: timedelta) -> None:
        """See `Store.compact`."""
        versions = self._tables.get(table, {})
        youngest = time.monotonic() - grace.total_seconds()
        for (number, _), (_, replacement) in pairwise(tuple(versions.items())):
            if number not in keep_versions and replacement.committed_at <= youngest:
                del versions[number]

    def versions(self, table: str) -> list[VersionAge]:
        """See `Store.versions`."""
        now = time.monotonic()
        return [
            VersionAge(number, timedelta(seconds=now - version.committed_at))
            for number, version in tuple(self._tables.get(table, {}).items())
        ]

    def fragments(self, table: str, *, version: int) -> list[Fragment]:
        """See `Store.fragments`: every version is one fragment of its own."""
        return [Fragment(str(version), "", self._at(table, version).num_rows)]

    def read_fragment(self, table: str, name: str, *, version: int, gone_from: int | None = None) -> pa.Table:
        """See `Store.read_fragment`."""
        rows = self._at(table, version)
        if name != str(version) or gone_from not in {None, version}:
            raise MissingVersionError(
                f"version {gone_from or version} of {table!r} has no fragment {name!r}."
            )
        return rows if gone_from is None else rows.slice(0, 0)

    def protect(self, table: str, version: int) -> None:
        """See `Store.protect`: no other tool reaches this process's memory."""
        self._at(table, version)

    def drop(self, table: str) -> None:
        """See `Store.drop`."""
        self._tables.pop(table, None)

    def stored_size(self, table: str) -> StoredSize:
        """See `Store.stored_size`: every version counts as one file."""
        versions = self._tables.get(table, {})
        num_bytes = sum(version.rows.nbytes for version in versions.values())
        return StoredSize(num_bytes, len(versions), len(versions))

    def read(
        self,
        table: str,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        key: str = "id",
    ) -> pa.Table:
        """See `Store.read`."""
        rows = select_rows(self._at(table, version), table, ids=ids, key=key)
        return rows.select(list(columns)) if columns is not None else rows

    def _at(self, table: str, version: int | None) -> pa.Table:
        versions = self._tables.get(table)
        if not versions:
            raise MissingVersionError(f"the store holds no table {table!r}.")
        number = max(versions) if version is None else version
        if number not in versions:
            raise MissingVersionError(f"table {table!r} has the versions {sorted(versions)}, not {number}.")
        return versions[number].rows


def _without(rows: pa.Table, ids: Sequence[str], key: str) -> pa.Table:
    if key not in rows.column_names:
        raise StoreError(f"there is no key column {key!r}; columns are {', '.join(rows.column_names)}.")
    dropped = set(ids)
    return rows.filter(pa.array([k not in dropped for k in rows[key].to_pylist()], pa.bool_()))

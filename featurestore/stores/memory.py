"""A store in this process's memory: for dry runs and tests."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from featurestore.errors import MissingVersionError, StoreError
from featurestore.store import TableVersion
from featurestore.stores.rows import check_storable, check_upsert, select_rows


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

    def delete(self, path: str) -> None:
        """See `ObjectStore.delete`."""
        self._data.pop(path, None)


class MemoryStore:
    """Every version of every table, as Arrow tables in a list."""

    def __init__(self, name: str = "scratch") -> None:
        self.uri = f"memory://{name}"
        self.objects = MemoryObjects()
        self._versions: dict[str, list[pa.Table]] = {}

    def tables(self) -> list[str]:
        """See `Store.tables`."""
        return sorted(self._versions)

    def latest(self, table: str) -> TableVersion | None:
        """See `Store.latest`."""
        versions = self._versions.get(table)
        return TableVersion(table, len(versions), versions[-1].num_rows) if versions else None

    def replace(self, table: str, rows: pa.Table) -> TableVersion:
        """See `Store.replace`."""
        check_storable(table, rows)
        versions = self._versions.setdefault(table, [])
        versions.append(rows.combine_chunks())
        return TableVersion(table, len(versions), rows.num_rows)

    def upsert(self, table: str, rows: pa.Table, *, key: str) -> TableVersion:
        """See `Store.upsert`."""
        current = self._versions.get(table)
        check_upsert(table, rows, key=key, schema=current[-1].schema if current else None)
        if not current:
            return self.replace(table, rows)
        kept = _without(current[-1], rows[key].to_pylist(), key)
        return self.replace(table, pa.concat_tables([kept, rows]))

    def delete(self, table: str, ids: Sequence[str], *, key: str) -> TableVersion:
        """See `Store.delete`."""
        return self.replace(table, _without(self.read(table), ids, key))

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
        versions = self._versions.get(table)
        if not versions:
            raise MissingVersionError(f"the store holds no table {table!r}.")
        number = len(versions) if version is None else version
        if not 1 <= number <= len(versions):
            raise MissingVersionError(f"table {table!r} has versions 1 to {len(versions)}, not {number}.")
        rows = select_rows(versions[number - 1], table, ids=ids, key=key)
        return rows.select(list(columns)) if columns is not None else rows


def _without(rows: pa.Table, ids: Sequence[str], key: str) -> pa.Table:
    if key not in rows.column_names:
        raise StoreError(f"there is no key column {key!r}; columns are {', '.join(rows.column_names)}.")
    dropped = set(ids)
    return rows.filter(pa.array([k not in dropped for k in rows[key].to_pylist()], pa.bool_()))

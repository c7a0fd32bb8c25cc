"""The format of a store: which versions of this product read it, and which write it.

``format/000002.json`` says that the files of a store are of format 2; the highest number counts. A store
without such a record is of format 1, the first version's, or empty. The first write to an empty store records
the format of this version, `featurestore migrate` the later ones: see `featurestore.migrations`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from featurestore.errors import NewerStoreError, OldStoreError
from featurestore.ids import canonical_json
from featurestore.spec import Frozen
from featurestore.store import ObjectStore
from featurestore.version import product_version

FORMAT: Final = 2
"""What this version writes. It reads all older formats."""
_RECORD: Final = re.compile(r"^format/(?P<number>\d{6})\.json$")
_EMPTY: Final = 0


class FormatRecord(Frozen):
    """Who brought a store to a format; for people, no decision reads it."""

    format: int
    product_version: str


class StoredFiles(ObjectStore, Protocol):
    """Objects that can be had as files: those of every store that outlives its process."""

    def local_file(self, path: str) -> Path:
        """See `featurestore.objects.HasLocalFiles.local_file`."""
        ...


def stored_format(objects: ObjectStore) -> int:
    """The format of a store; 0 if it holds no table yet."""
    return _recorded(objects) or (_unrecorded(objects) if objects.list("tables/") else _EMPTY)


def record_format(objects: ObjectStore, number: int) -> None:
    """Say that all files of a store are of a format now."""
    record = FormatRecord(format=number, product_version=product_version())
    objects.put_new(f"format/{number:06d}.json", canonical_json(record.model_dump(mode="json")).encode())


class FormatGuard:
    """Keeps this version from reading what it does not know, and from writing what it would mix.

    Asks the store once before the first read and once before the first write.

    Args:
        objects: The store's objects, unguarded.
        uri: What messages call the store.
        oldest_writable: Stores of an older format are not written.
    """

    def __init__(self, objects: ObjectStore, uri: str, *, oldest_writable: int = FORMAT) -> None:
        self._objects = objects
        self._uri = uri
        self._oldest_writable = oldest_writable
        self._may_read = False
        self._may_write = False

    def check_read(self) -> None:
        """Call before every read.

        Raises:
            NewerStoreError: If a newer version made the store.
        """
        if not self._may_read:
            self._require_known(_recorded(self._objects))
            self._may_read = True

    def check_write(self) -> None:
        """Call before every write. The first one to an empty store records its format.

        Raises:
            NewerStoreError: If a newer version made the store.
            OldStoreError: If the store must be migrated first.
        """
        if self._may_write:
            return
        found = stored_format(self._objects)
        self._require_known(found)
        if found == _EMPTY:
            record_format(self._objects, FORMAT)
        elif found < self._oldest_writable:
            raise OldStoreError(
                f"the store {self._uri} has format {found}; this version writes format {FORMAT}.",
                hint="Run `featurestore migrate` once (`--dry-run` shows what it does). Reading works as is.",
            )
        self._may_write = True

    def _require_known(self, found: int) -> None:
        if found > FORMAT:
            raise NewerStoreError(
                f"the store {self._uri} has format {found}; "
                f"version {product_version()} of this product knows formats up to {FORMAT}.",
                hint="Upgrade: pip install --upgrade cot-featurestore",
            )


class GuardedObjects:
    """The objects of a store, behind its guard.

    Args:
        objects: What to guard.
        guard: Asked before everything.
    """

    def __init__(self, objects: StoredFiles, guard: FormatGuard) -> None:
        self._objects = objects
        self._guard = guard

    def put_new(self, path: str, data: bytes) -> bool:
        """See `ObjectStore.put_new`."""
        self._guard.check_write()
        return self._objects.put_new(path, data)

    def read(self, path: str) -> bytes:
        """See `ObjectStore.read`."""
        self._guard.check_read()
        return self._objects.read(path)

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore.list`."""
        self._guard.check_read()
        return self._objects.list(prefix)

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """See `ObjectStore.sizes`."""
        self._guard.check_read()
        return self._objects.sizes(prefix)

    def delete(self, path: str) -> None:
        """See `ObjectStore.delete`."""
        self._guard.check_write()
        self._objects.delete(path)

    def local_file(self, path: str) -> Path:
        """See `featurestore.objects.HasLocalFiles.local_file`."""
        self._guard.check_read()
        return self._objects.local_file(path)


def _recorded(objects: ObjectStore) -> int:
    """The highest number that is recorded; 0 if there is no record."""
    records = (_RECORD.match(path) for path in objects.list("format/"))
    return max((int(record["number"]) for record in records if record), default=_EMPTY)


def _unrecorded(objects: ObjectStore) -> int:
    """Of a store with tables: whoever makes a store records its format first, perhaps just now."""
    return _recorded(objects) or 1

"""The connection to a LanceDB database: opens and makes tables, repeats calls, turns errors into ours."""

import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import pyarrow as pa

from featurestore.errors import FeatureStoreError, MissingVersionError, ServiceError, StoreError
from featurestore.objects import disk_error
from featurestore.s3_objects import TRY_AGAIN, s3_endpoint

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table as LanceTable

_SAID_CHARS: Final = 600
"""So much of what LanceDB says is shown: an address of an object is long."""
_SERVICE_ERROR: Final = "Generic S3 error"
"""Lance says so of an S3 that is busy or does not answer, after repeating the request itself."""
_PAUSES: Final = {
    "commit conflict": (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
    _SERVICE_ERROR: (0.5, 1.0, 2.0),
}
"""What an error says (another writer was first; S3 is in trouble) → seconds before each further attempt."""
_Result = TypeVar("_Result")


class LanceDatabase:
    """The tables of one store.

    Args:
        uri: Of the store; the database is its ``tables`` folder.
        folder: The store's folder; None on S3.
    """

    def __init__(self, uri: str, folder: Path | None) -> None:
        self._uri = uri
        self._folder = folder
        self._connection: DBConnection | None = None

    def names(self) -> list[str]:
        """Names of all folders of tables, some of which may not be tables yet."""
        return [] if self._nothing_there() else self.run("the list of tables", self._all_names)

    def open(self, table: str) -> "LanceTable | None":
        """A handle that stays on the newest version, or None if the table does not exist."""
        if self._nothing_there():
            return None
        try:
            return self.run(table, lambda: self._connected.open_table(table))
        except MissingVersionError:
            return None

    def make(self, table: str, rows: pa.Table) -> "LanceTable | None":
        """Make a table; None if it exists: another writer was first, or an attempt whose answer was lost."""
        try:
            return self.run(table, lambda: self._connected.create_table(table, rows))
        except StoreError as error:
            if "already exists" in str(error.__cause__):
                return None
            raise

    def overwrite(self, table: str, rows: pa.Table) -> "LanceTable":
        """Make rows the content of a table's next version."""
        return self.run(table, lambda: self._connected.create_table(table, rows, mode="overwrite"))

    def drop(self, table: str) -> None:
        """Remove a table."""
        with suppress(MissingVersionError):  # an earlier attempt removed it
            self.run(table, lambda: self._connected.drop_table(table))

    def change(self, table: str, handle: "LanceTable", change: Callable[[], _Result]) -> _Result:
        """Commit a change through a handle, which moves to the newest version before each further attempt."""
        repeated = False

        def attempt() -> _Result:
            nonlocal repeated
            if repeated:
                handle.checkout_latest()
            repeated = True
            return change()

        return self.run(table, attempt)

    def run(self, subject: str, call: Callable[[], _Result]) -> _Result:
        """What a call returns. It is repeated if another writer's commit came first, or S3 is in trouble.

        Every call to a table may be repeated, even one that was carried out and whose answer was lost: rows
        have their place by key, and a version that is made twice is the same twice.

        Raises:
            MissingVersionError: If the table or version does not exist.
            StorageFullError: If the disk is full.
            StoreError: If the call fails for another reason, or once too often.
        """
        pauses = {kind: list(seconds) for kind, seconds in _PAUSES.items()}
        while True:
            try:
                with self.errors(subject):
                    return call()
            except StoreError as error:
                kind = next((kind for kind in pauses if kind in str(error.__cause__)), None)
                if kind is None or not pauses[kind]:
                    raise
                time.sleep(pauses[kind].pop(0))

    @contextmanager
    def creation_lock(self) -> Generator[None]:
        """Guards the making of tables on a local disk. S3 itself lets one writer make a table."""
        if self._folder is None:
            yield
            return
        import fcntl

        lock = self._folder / "locks" / "table-creation"
        with self.errors("table-creation lock"):
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def errors(self, subject: str) -> Generator[None]:
        """Make LanceDB's errors ours."""
        try:
            yield
        except FeatureStoreError:
            raise
        except (RuntimeError, OSError, ValueError) as error:
            raise self._as_store_error(error, subject) from error

    @property
    def _connected(self) -> "DBConnection":
        if self._connection is None:
            import lancedb

            self._connection = lancedb.connect(f"{self._uri}/tables", storage_options=self._storage_options())
        return self._connection

    def _all_names(self) -> list[str]:
        names: list[str] = []
        token: str | None = None
        while True:
            page = self._connected.list_tables(page_token=token)
            names += page.tables
            token = page.page_token
            if not token:
                return names

    def _storage_options(self) -> dict[str, str] | None:
        endpoint = s3_endpoint()
        if self._folder is not None or endpoint is None:
            return None
        return {"aws_endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}

    def _nothing_there(self) -> bool:
        return self._folder is not None and not (self._folder / "tables").is_dir()

    def _as_store_error(self, error: Exception, subject: str) -> FeatureStoreError:
        text = str(error)
        said = text.splitlines()[0][:_SAID_CHARS]
        if _SERVICE_ERROR in text:
            return ServiceError(
                f"S3 does not answer for table {subject!r} of {self._uri}. LanceDB says: {said}",
                hint=TRY_AGAIN,
            )
        if "was not found" in text or "no longer exists" in text:
            return MissingVersionError(f"the store holds no such version of {subject!r}: {said}")
        if "No space left" in text or isinstance(error, OSError):
            return disk_error(error, f"{subject!r} of {self._uri}")
        return StoreError(
            f"table {subject!r} of {self._uri} cannot be read or written. LanceDB says: {said}",
            hint=f"Files may be missing or damaged. Restore tables/{subject}.lance from a copy, or move it "
            "away and run the job that makes it again; other tables are not affected.",
        )

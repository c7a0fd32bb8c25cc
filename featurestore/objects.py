"""Objects beside the tables: create-once files of a folder.

Creating is atomic: a hard link on a local disk, ``If-None-Match: *`` on S3 (`featurestore.s3_objects`).
"""

import os
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, runtime_checkable

from featurestore.errors import MissingVersionError, StorageFullError, StoreError, UsageError
from featurestore.store import ObjectStore

_TEMPORARY = ".partial-"
_UNNAMED = getattr(os, "O_TMPFILE", os.O_CREAT | os.O_EXCL)
"""Linux writes a file without a name first, so that a kill leaves nothing behind; elsewhere opening fails."""


@runtime_checkable
class HasLocalFiles(Protocol):
    """An object store whose objects can be had as files, to be memory-mapped."""

    def local_file(self, path: str) -> Path:
        """A file with the object's bytes, fetched first if it is remote.

        Raises:
            MissingVersionError: If there is no such object.
        """
        ...


class LocalObjects:
    """Objects as files of a folder, which is made on the first write.

    Args:
        root: The folder; object paths are relative to it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put_new(self, path: str, data: bytes) -> bool:
        """See `ObjectStore.put_new`: written aside, synced, then linked under its name.

        Raises:
            StorageFullError: If the disk is full; nothing is left behind.
        """
        target = self._root / checked_path(path)
        with disk_errors(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(target.parent, _UNNAMED | os.O_WRONLY, 0o644)
            except OSError:  # such as a network file system
                return _link_named(target, data)
            with os.fdopen(descriptor, "wb") as file:
                _write(file, data)
                return _link(f"/proc/self/fd/{descriptor}", target)

    def read(self, path: str) -> bytes:
        """See `ObjectStore.read`."""
        with disk_errors(str(self._root / path)):
            return self.local_file(path).read_bytes()

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore.list`."""
        return sorted(path for path, _ in self._files(prefix))

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """See `ObjectStore.sizes`."""
        found: dict[str, int] = {}
        for path, file in self._files(prefix):
            with suppress(FileNotFoundError):  # others may delete meanwhile
                found[path] = file.stat().st_size
        return found

    def delete(self, path: str) -> None:
        """See `ObjectStore.delete`."""
        file = self._root / checked_path(path)
        with disk_errors(str(file)):
            file.unlink(missing_ok=True)

    def _files(self, prefix: str) -> Iterator[tuple[str, Path]]:
        for where, _, names in os.walk(self._root / prefix.rpartition("/")[0]):
            for name in names:
                file = Path(where) / name
                path = file.relative_to(self._root).as_posix()
                if path.startswith(prefix) and not name.startswith(_TEMPORARY):
                    yield path, file

    def local_file(self, path: str) -> Path:
        """See `HasLocalFiles.local_file`: the object itself."""
        file = self._root / checked_path(path)
        if not file.is_file():
            raise MissingVersionError(f"the store holds no object {path!r}.")
        return file


def checked_path(path: str) -> str:
    """``path`` itself.

    Raises:
        UsageError: If it is absolute, empty, or leaves the store with ``..``.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise UsageError(f"an object path is relative and without '..', got {path!r}.")
    return path


def same_object(objects: ObjectStore, path: str, data: bytes) -> bool:
    """Create an object, or find it there with equal bytes: True also after a lost acknowledgement."""
    return objects.put_new(path, data) or objects.read(path) == data


def _link_named(target: Path, data: bytes) -> bool:
    """Create by way of a file of its own name, which a kill leaves behind."""
    partial = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        with partial.open("xb") as file:
            _write(file, data)
        return _link(str(partial), target)
    finally:
        partial.unlink(missing_ok=True)


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _link(source: str, target: Path) -> bool:
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        # With a folder given, os.link follows the link that /proc has for a file without a name.
        os.link(source, target, src_dir_fd=folder, follow_symlinks=True)
        os.fsync(folder)
    except FileExistsError:
        return False
    finally:
        os.close(folder)
    return True


@contextmanager
def disk_errors(subject: str) -> Generator[None]:
    """Give a failing disk the error that tells its user what to do, see `disk_error`."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, subject) from error


def disk_error(error: Exception, subject: str) -> StoreError | StorageFullError:
    """What a failing disk means for whoever runs the command: `StorageFullError` if it is full."""
    text = str(error)
    if "No space left" in text or "Disk quota exceeded" in text:
        return StorageFullError(
            f"no space left on the device while writing {subject}.",
            hint="Free some space and run the command again: what was committed before is kept.",
        )
    return StoreError(
        f"{subject} cannot be accessed: {text}", hint="Check that the folder may be read and written."
    )

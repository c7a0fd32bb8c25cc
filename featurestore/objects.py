"""Objects beside the tables: create-once files in a folder or under an S3 prefix.

Creating is atomic on both: a hard link on a local disk, ``If-None-Match: *`` on S3.
"""

import os
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast, runtime_checkable

from featurestore.errors import MissingVersionError, StorageFullError, StoreError, UsageError, missing_extra
from featurestore.store import ObjectStore

_TEMPORARY = ".partial-"
_CONFLICT_ATTEMPTS = 5


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
            partial = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
            try:
                with partial.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                return _link(partial, target)
            finally:
                partial.unlink(missing_ok=True)

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


class S3Objects:
    """Objects under a prefix of an S3 bucket. Credentials and endpoint come from the usual AWS variables.

    Args:
        bucket: Bucket name; it must exist.
        prefix: Path inside the bucket, without slashes at its ends; may be empty.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._connection: _S3Client | None = None

    def put_new(self, path: str, data: bytes) -> bool:
        """See `ObjectStore.put_new`."""
        key, client = self._prefix + checked_path(path), self._client
        for _ in range(_CONFLICT_ATTEMPTS):
            try:
                with self._service_errors(path):
                    client.put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")
            except _ExistsError:
                return False
            except _ConflictError:
                continue
            return True
        raise StoreError(
            f"others keep writing {path!r}; gave up after {_CONFLICT_ATTEMPTS} attempts.",
            hint="Run the command again when the other job has ended.",
        )

    def read(self, path: str) -> bytes:
        """See `ObjectStore.read`."""
        key, client = self._prefix + checked_path(path), self._client
        with self._service_errors(path):
            return client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore.list`."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """See `ObjectStore.sizes`."""
        pages = self._client.get_paginator("list_objects_v2")
        with self._service_errors(prefix):
            found = pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
            items = [item for page in found for item in page.get("Contents", [])]
        return {item["Key"].removeprefix(self._prefix): item["Size"] for item in items}

    def delete(self, path: str) -> None:
        """See `ObjectStore.delete`."""
        with self._service_errors(path):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + checked_path(path))

    def local_file(self, path: str) -> Path:
        """See `HasLocalFiles.local_file`: downloaded once into the cache folder (objects never change)."""
        home = Path(os.environ.get("FEATURESTORE_CACHE") or Path.home() / ".cache" / "cot-featurestore")
        cache = LocalObjects(home / "objects" / self._bucket / self._prefix)
        try:
            return cache.local_file(path)
        except MissingVersionError:
            cache.put_new(path, self.read(path))
            return cache.local_file(path)

    @property
    def _client(self) -> "_S3Client":
        if self._connection is None:
            try:
                import boto3
            except ImportError:
                raise missing_extra("boto3", "s3") from None
            self._connection = cast("_S3Client", boto3.client("s3", endpoint_url=s3_endpoint()))
        return self._connection

    @contextmanager
    def _service_errors(self, path: str) -> Generator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            known = _S3_OUTCOMES.get(str(error.response.get("Error", {}).get("Code")))
            if known is not None:
                raise known(f"the store holds no object {path!r}.") from error
            raise StoreError(
                f"S3 refused {path!r} in bucket {self._bucket!r}: {error}",
                hint="Check that the bucket exists and that your credentials may read and write it.",
            ) from error
        except BotoCoreError as error:
            raise StoreError(
                f"S3 cannot be reached for bucket {self._bucket!r}: {error}",
                hint="Check AWS_ENDPOINT_URL, the region, and the credentials in the environment.",
            ) from error


class _S3Client(Protocol):
    """The calls of boto3's client that objects need."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str) -> object: ...  # noqa: N803 boto3's names

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]: ...  # noqa: N803 boto3's names

    def delete_object(self, *, Bucket: str, Key: str) -> object: ...  # noqa: N803 boto3's names

    def get_paginator(self, operation_name: str) -> Any: ...  # noqa: ANN401 boto3 makes its type at run time


class _ExistsError(StoreError):
    """S3 holds the object already."""


class _ConflictError(StoreError):
    """Another writer was creating the same object."""


_S3_OUTCOMES: dict[str, type[StoreError]] = {
    "NoSuchKey": MissingVersionError,
    "404": MissingVersionError,
    "PreconditionFailed": _ExistsError,
    "412": _ExistsError,
    "ConditionalRequestConflict": _ConflictError,
    "409": _ConflictError,
}


def s3_endpoint() -> str | None:
    """Address of an S3 service other than Amazon's, from AWS_ENDPOINT_URL or AWS_ENDPOINT."""
    return os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or None


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


def _link(partial: Path, target: Path) -> bool:
    try:
        os.link(partial, target)
    except FileExistsError:
        return False
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
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

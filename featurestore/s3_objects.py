"""Objects on S3, or on another service that speaks its protocol."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from featurestore.errors import MissingVersionError, StoreError, missing_extra
from featurestore.objects import LocalObjects, checked_path

_CONFLICT_ATTEMPTS = 5


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

"""Objects on S3, or on another service that speaks its protocol.

A request that fails is repeated. Where the first attempt was carried out and only its answer was lost, the
second one finds its own object; every creation carries a mark of its own by which it is recognised.
"""

import os
import random
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, cast

from featurestore.errors import MissingVersionError, ServiceError, StoreError, missing_extra
from featurestore.objects import LocalObjects, checked_path

_ATTEMPTS: Final = 6
"""Of one request, with growing pauses: a busy service is waited for, about a quarter of a minute."""
_CONNECT_SECONDS: Final = 10
_ANSWER_SECONDS: Final = 60
_LONGEST_PAUSE: Final = 8.0
_MARK: Final = "writer"
"""Metadata that tells who created an object."""
_SERVER_ERROR: Final = 500
_TOO_MANY_REQUESTS: Final = 429
TRY_AGAIN: Final = "Nothing is half-written. Run the command again in a while: it goes on where it stopped."


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
        """See `ObjectStore.put_new`. True also if an earlier attempt of this call created the object."""
        key, mark = self._prefix + checked_path(path), uuid.uuid4().hex
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._asking(path) as client:
                    client.put_object(
                        Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*", Metadata={_MARK: mark}
                    )
            except _ExistsError:
                return self._mark_of(path) == mark
            except _ConflictError:
                _pause(attempt)
                continue
            return True
        raise StoreError(
            f"others keep writing {path!r}; gave up after {_ATTEMPTS} attempts.",
            hint="Run the command again when the other job has ended.",
        )

    def read(self, path: str) -> bytes:
        """See `ObjectStore.read`. An answer that breaks off is asked for again."""
        for attempt in range(1, _ATTEMPTS):
            try:
                return self._read_once(path)
            except _BrokenOffError:
                _pause(attempt)
        return self._read_once(path)

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore.list`."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """See `ObjectStore.sizes`."""
        with self._asking(prefix) as client:
            pages = client.get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
            items = [item for page in found for item in page.get("Contents", [])]
        return {item["Key"].removeprefix(self._prefix): item["Size"] for item in items}

    def delete(self, path: str) -> None:
        """See `ObjectStore.delete`: of this machine's cache too, but not of those of other machines."""
        with self._asking(path) as client:
            client.delete_object(Bucket=self._bucket, Key=self._prefix + checked_path(path))
        self._cache.delete(path)

    def local_file(self, path: str) -> Path:
        """See `HasLocalFiles.local_file`: downloaded once into the cache folder (objects never change)."""
        try:
            return self._cache.local_file(path)
        except MissingVersionError:
            self._cache.put_new(path, self.read(path))
            return self._cache.local_file(path)

    @property
    def _cache(self) -> LocalObjects:
        home = Path(os.environ.get("FEATURESTORE_CACHE") or Path.home() / ".cache" / "cot-featurestore")
        return LocalObjects(home / "objects" / self._bucket / self._prefix)

    @property
    def _client(self) -> "_S3Client":
        if self._connection is None:
            try:
                import boto3
                from botocore.config import Config
            except ImportError:
                raise missing_extra("boto3", "s3") from None
            config = Config(
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_ANSWER_SECONDS,
            )
            self._connection = cast(
                "_S3Client", boto3.client("s3", endpoint_url=s3_endpoint(), config=config)
            )
        return self._connection

    def _read_once(self, path: str) -> bytes:
        key = self._prefix + checked_path(path)
        with self._asking(path) as client:
            return client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def _mark_of(self, path: str) -> str | None:
        """Who created an object; None if it is gone again, or was made without a mark."""
        try:
            with self._asking(path) as client:
                found = client.head_object(Bucket=self._bucket, Key=self._prefix + path)
        except MissingVersionError:
            return None
        return found.get("Metadata", {}).get(_MARK)

    @contextmanager
    def _asking(self, path: str) -> Generator["_S3Client"]:
        """The client, whose errors become ours."""
        client = self._client
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            FlexibleChecksumError,
            IncompleteReadError,
            NoCredentialsError,
            ResponseStreamingError,
        )

        try:
            yield client
        except ClientError as error:
            raise self._refusal(path, error.response, str(error)) from error
        except (ResponseStreamingError, IncompleteReadError, FlexibleChecksumError) as error:
            raise _BrokenOffError(
                f"the answer of S3 for {path!r} in bucket {self._bucket!r} broke off: {error}",
                hint=TRY_AGAIN,
            ) from error
        except NoCredentialsError as error:
            raise StoreError(
                f"there are no credentials for bucket {self._bucket!r}: {error}",
                hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, in the environment.",
            ) from error
        except BotoCoreError as error:
            raise ServiceError(
                f"S3 does not answer for {path!r} in bucket {self._bucket!r}, "
                f"asked {_ATTEMPTS} times: {error}",
                hint=f"Check AWS_ENDPOINT_URL, the region and the network. {TRY_AGAIN}",
            ) from error

    def _refusal(self, path: str, response: Mapping[str, Any], text: str) -> StoreError:
        known = _S3_OUTCOMES.get(str(response.get("Error", {}).get("Code")))
        if known is not None:
            return known(f"the store holds no object {path!r}.")
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
            return ServiceError(
                f"S3 is too busy for {path!r} in bucket {self._bucket!r}, asked {_ATTEMPTS} times: {text}",
                hint=TRY_AGAIN,
            )
        return StoreError(
            f"S3 refused {path!r} in bucket {self._bucket!r}: {text}",
            hint="Check that the bucket exists and that your credentials may read and write it.",
        )


class _S3Client(Protocol):
    """The calls of boto3's client that objects need."""

    def put_object(
        self,
        *,
        Bucket: str,  # noqa: N803 boto3's names
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        IfNoneMatch: str,  # noqa: N803
        Metadata: Mapping[str, str],  # noqa: N803
    ) -> object: ...

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]: ...  # noqa: N803 boto3's names

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]: ...  # noqa: N803 boto3's names

    def delete_object(self, *, Bucket: str, Key: str) -> object: ...  # noqa: N803 boto3's names

    def get_paginator(self, operation_name: str) -> Any: ...  # noqa: ANN401 boto3 makes its type at run time


class _ExistsError(StoreError):
    """S3 holds the object already."""


class _ConflictError(StoreError):
    """Another writer was creating the same object."""


class _BrokenOffError(ServiceError):
    """A part of an answer is missing."""


_S3_OUTCOMES: dict[str, type[StoreError]] = {
    "NoSuchKey": MissingVersionError,
    "404": MissingVersionError,
    "PreconditionFailed": _ExistsError,
    "412": _ExistsError,
    "ConditionalRequestConflict": _ConflictError,
    "409": _ConflictError,
}


def _pause(attempt: int) -> None:
    """Wait longer after each attempt, and not for the same time as others who wait."""
    time.sleep(random.uniform(0.0, min(_LONGEST_PAUSE, 0.1 * 2**attempt)))  # noqa: S311 nothing secret


def s3_endpoint() -> str | None:
    """Address of an S3 service other than Amazon's, from AWS_ENDPOINT_URL or AWS_ENDPOINT."""
    return os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or None

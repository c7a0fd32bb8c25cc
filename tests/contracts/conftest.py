"""The stores that pass one suite: the fake, LanceDB in a folder, and LanceDB over S3."""

import uuid
from collections.abc import Iterator

import pytest
from s3_service import BUCKET, running_s3

from featurestore.store import Store
from featurestore.stores import connect


@pytest.fixture(scope="module")
def s3_bucket() -> Iterator[str]:
    """A bucket of a loopback S3 service."""
    with running_s3():
        yield BUCKET


@pytest.fixture(params=["memory", "lance", "lance-s3"])
def store(request: pytest.FixtureRequest, tmp_path) -> Store:
    match request.param:
        case "memory":
            return connect("memory://contract")
        case "lance":
            return connect(str(tmp_path / "store"))
        case _:
            return connect(f"s3://{request.getfixturevalue('s3_bucket')}/{uuid.uuid4().hex}")

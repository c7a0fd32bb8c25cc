"""An S3 service on this machine, and a proxy before it that can make it fail."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from fault_proxy import FaultProxy

BUCKET = "features"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}


@contextmanager
def running_s3() -> Generator[str]:
    """A service with one bucket, named by the environment as the endpoint; its address."""
    boto3 = pytest.importorskip("boto3")
    moto_server = pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in _CREDENTIALS.items():
                patch.setenv(name, value)
            patch.delenv("AWS_ENDPOINT_URL", raising=False)
            patch.setenv("AWS_ENDPOINT", address)
            boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
            yield address
    finally:
        server.stop()


@contextmanager
def failing_s3() -> Generator[FaultProxy]:
    """The same behind a proxy, which the environment names as the endpoint."""
    with running_s3() as address, FaultProxy(address) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT", proxy.url)
        yield proxy

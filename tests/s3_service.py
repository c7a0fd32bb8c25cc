"""An S3 service on this machine, and a proxy before it that can make it fail."""

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
def running_s3() -> Generator[FaultProxy]:
    """A service with one bucket; the environment names the proxy before it as the endpoint."""
    boto3 = pytest.importorskip("boto3")
    moto_server = pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with FaultProxy(f"http://{host}:{port}") as proxy, pytest.MonkeyPatch.context() as patch:
            for name, value in _CREDENTIALS.items():
                patch.setenv(name, value)
            patch.delenv("AWS_ENDPOINT_URL", raising=False)
            patch.setenv("AWS_ENDPOINT", proxy.url)
            boto3.client("s3", endpoint_url=proxy.url).create_bucket(Bucket=BUCKET)
            yield proxy
    finally:
        server.stop()

"""Objects on a failing S3: every call does what it says, or says clearly that it did not."""

import uuid
from collections.abc import Iterator

import pytest
from fault_proxy import Call, Fault, FaultProxy, first
from s3_service import BUCKET, failing_s3

from featurestore import s3_objects
from featurestore.errors import LockHeldError, ServiceError
from featurestore.jobs.lock import FeatureLock
from featurestore.objects import same_object
from featurestore.s3_objects import S3Objects

TRANSIENT = (Fault.RESET, Fault.BUSY, Fault.SLOW, Fault.LOST_REPLY, Fault.TORN_REPLY)


@pytest.fixture(scope="module")
def service() -> Iterator[FaultProxy]:
    with failing_s3() as proxy:
        yield proxy


@pytest.fixture
def proxy(service: FaultProxy) -> Iterator[FaultProxy]:
    yield service
    service.decide = lambda _: Fault.NONE


@pytest.fixture
def objects() -> S3Objects:
    return S3Objects(BUCKET, uuid.uuid4().hex)


@pytest.mark.parametrize("fault", TRANSIENT)
def test_who_creates_an_object_knows_it(proxy: FaultProxy, objects: S3Objects, fault: Fault):
    proxy.decide = first(fault, "PUT", "releases/000001.json")
    assert objects.put_new("releases/000001.json", b"mine")
    assert objects.read("releases/000001.json") == b"mine"
    proxy.decide = first(fault, "PUT", "releases/000001.json")
    assert not objects.put_new("releases/000001.json", b"mine"), "equal bytes of another call are not its own"
    assert proxy.befallen[fault] >= 2


def test_an_object_that_another_created_meanwhile_is_not_ones_own(
    proxy: FaultProxy, objects: S3Objects, monkeypatch: pytest.MonkeyPatch
):
    """The first attempt never arrives; before the second one, somebody else writes the same bytes."""
    other = S3Objects(BUCKET, objects._prefix.removesuffix("/"))
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT", proxy.server)
        assert other.list("") == [], "connected to the service itself"

    def decide(call: Call) -> Fault:
        if call.method == "PUT" and other.put_new("a.json", b"1"):
            return Fault.RESET
        return Fault.NONE

    proxy.decide = decide
    assert not objects.put_new("a.json", b"1")
    assert proxy.befallen[Fault.RESET]
    assert same_object(objects, "a.json", b"1")
    assert not same_object(objects, "a.json", b"2")


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("size", [10, 300_000])
def test_what_is_read_is_whole(proxy: FaultProxy, objects: S3Objects, fault: Fault, size: int):
    data = bytes(range(256)) * (size // 256 + 1)
    objects.put_new("snapshots/a", data)
    proxy.decide = first(fault, "GET", "snapshots/a", times=2)
    assert objects.read("snapshots/a") == data


@pytest.mark.parametrize("fault", TRANSIENT)
def test_lists_and_deletions_are_complete(proxy: FaultProxy, objects: S3Objects, fault: Fault):
    paths = [f"runs/{n}.json" for n in range(5)]
    for path in paths:
        objects.put_new(path, b"{}")
    proxy.decide = first(fault, "GET", "list-type=2")
    assert objects.list("runs/") == paths
    proxy.decide = first(fault, "DELETE", "runs/3.json")
    objects.delete("runs/3.json")
    assert objects.list("runs/") == [path for path in paths if path != "runs/3.json"]


def test_a_service_that_stays_busy_is_named(
    proxy: FaultProxy, objects: S3Objects, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(s3_objects, "_ATTEMPTS", 2)
    proxy.decide = lambda _: Fault.BUSY
    for call in (lambda: objects.put_new("a", b"1"), lambda: objects.read("a"), lambda: objects.list("")):
        with pytest.raises(ServiceError, match=r"S3 is too busy for .*, asked 2 times: .*SlowDown") as caught:
            call()
        assert "Run the command again in a while" in caught.value.hint


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.LOST_REPLY])
def test_a_service_that_never_answers_is_named(
    proxy: FaultProxy, objects: S3Objects, monkeypatch: pytest.MonkeyPatch, fault: Fault
):
    monkeypatch.setattr(s3_objects, "_ATTEMPTS", 2)
    proxy.decide = lambda _: fault
    with pytest.raises(ServiceError, match=r"S3 does not answer for 'a' in bucket .*, asked 2 times"):
        objects.put_new("a", b"1")
    proxy.decide = lambda _: Fault.NONE
    # Whether it was carried out is unknown; who asks again with the same bytes learns that all is well.
    assert same_object(objects, "a", b"1")


def test_an_answer_that_always_breaks_off_is_named(
    proxy: FaultProxy, objects: S3Objects, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(s3_objects, "_ATTEMPTS", 2)
    objects.put_new("a", b"1" * 1000)
    proxy.decide = first(Fault.TORN_REPLY, "GET", "/a", times=100)
    with pytest.raises(ServiceError, match="the answer of S3 for 'a' in bucket 'features' broke off"):
        objects.read("a")


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_lock_is_held_by_who_took_it(proxy: FaultProxy, objects: S3Objects, fault: Fault):
    proxy.decide = first(fault, "PUT", ".owner")
    with FeatureLock(objects, "publish") as lock:
        lock.check()
        with pytest.raises(LockHeldError, match="another job works on publish"):
            FeatureLock(objects, "publish").__enter__()
        proxy.decide = first(fault, "GET", "list-type=2")
        lock.check()
    with FeatureLock(objects, "publish") as next_lock:
        assert next_lock.epoch == 2

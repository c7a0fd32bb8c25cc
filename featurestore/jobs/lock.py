"""Locks between jobs, with a fencing epoch.

A lock lies beside the tables it guards, so it holds on every machine that reaches the store. It is a set of
create-once objects ``locks/<name>/<epoch>.<part>``: ``owner`` says who holds it, ``beat-<n>`` that the owner
lives, ``released`` that it is done. The highest epoch counts; to take the lock is to create the next one,
which the store lets one job do. A job that slept for longer than the lease may lose its lock: it finds a
higher epoch at its next `FeatureLock.check` and must not commit.

No wall clock decides anything. Beats of processes that share a boot are dated by its monotonic clock; a beat
from elsewhere is watched until the next one comes, or the lease is over.
"""

import contextlib
import random
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from pydantic import ValidationError

from featurestore.errors import LockHeldError, MissingVersionError, StorageFullError, StoreError
from featurestore.jobs.owner import UNKNOWN_OWNER, LockOwner, is_gone, same_boot, this_process
from featurestore.store import ObjectStore

LEASE_SECONDS: Final = 120.0
"""An owner without a heartbeat for so long counts as dead, wherever it runs."""
_BEAT_SECONDS: Final = 10.0
_WATCH_SECONDS: Final = 0.5
_OWNER: Final = "owner"
_RELEASED: Final = "released"
_BEAT: Final = "beat-"


class FeatureLock:
    """The right to write one feature version. Use it as a context manager.

    Args:
        objects: The store's objects.
        name: What is locked, such as a table name.
        lease_seconds: Time without a heartbeat after which another job may take over.

    Raises:
        LockHeldError: On entering, if a living job holds the lock; names its owner. Where the owner runs on
            another machine, this is known after its next heartbeat, ten seconds at most.
        StorageFullError: On entering, if the store has no room for the lock.
    """

    def __init__(self, objects: ObjectStore, name: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.name = name
        self._objects = objects
        self._prefix = f"locks/{name}/"
        self._lease_seconds = lease_seconds
        self._epoch = 0
        self._stop = threading.Event()

    @property
    def epoch(self) -> int:
        """The fencing epoch this job holds; 0 before entering."""
        return self._epoch

    def __enter__(self) -> "FeatureLock":
        newest = self._newest_epoch()
        if newest and (owner := self._living_owner(newest)):
            raise self._held(owner)
        stated = this_process().model_dump_json().encode()
        if not self._objects.put_new(self._path(newest + 1, _OWNER), stated):
            raise self._held(self._read_owner(newest + 1))
        self._epoch = newest + 1
        self.check()
        self._write_beat(1)
        self._delete([(epoch, part) for epoch, part in self._parts() if epoch < self._epoch])
        threading.Thread(target=self._beat, name=f"lock {self.name}", daemon=True).start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let the next job take the lock at once."""
        self._stop.set()
        # A lock that cannot be released on a failing disk is free all the same when this process is gone.
        with contextlib.suppress(StorageFullError, StoreError):
            if self._newest_epoch() == self._epoch:
                self._objects.put_new(self._path(self._epoch, _RELEASED), b"")
                self._delete([(epoch, part) for epoch, part in self._parts() if part.startswith(_BEAT)])

    def check(self) -> None:
        """Call before every commit.

        Raises:
            LockHeldError: If another job has taken the lock over.
        """
        newest = self._newest_epoch()
        if newest != self._epoch:
            owner = self._read_owner(newest)
            raise LockHeldError(
                f"this job lost its lock on {self.name} to {owner or 'another'}; it commits nothing more.",
                hint="It was stopped for too long. Run the command again when the other job is done.",
            )

    def _held(self, owner: LockOwner | None) -> LockHeldError:
        return LockHeldError(
            f"another job works on {self.name}: {owner or 'it has just started'}.",
            hint="Wait for it to end, or stop it: what it has done so far is kept.",
        )

    def _living_owner(self, epoch: int) -> LockOwner | None:
        owner = self._read_owner(epoch)
        if owner is None or self._is_released(epoch) or is_gone(owner):
            return None
        age = self._age_of_last_beat(epoch) if same_boot(owner) else None
        is_alive = self._watch(epoch) if age is None else age <= self._lease_seconds
        return owner if is_alive else None

    def _age_of_last_beat(self, epoch: int) -> float | None:
        """Seconds; None if the owner's clock cannot be this machine's after all."""
        number = self._last_beat(epoch)
        if not number:
            return None
        with contextlib.suppress(StoreError):
            age = time.monotonic() - float(self._objects.read(self._path(epoch, f"{_BEAT}{number:09d}")))
            return age if age >= 0 else None
        return 0.0  # it was replaced by the next one just now

    def _watch(self, epoch: int) -> bool:
        """Wait for the owner's next heartbeat. False if it does not come within the lease."""
        first, deadline = self._last_beat(epoch), time.monotonic() + self._lease_seconds
        while time.monotonic() < deadline:
            time.sleep(min(_WATCH_SECONDS, self._lease_seconds / 10))
            if self._is_released(epoch):
                return False
            if self._last_beat(epoch) != first or self._newest_epoch() != epoch:
                return True
        return False

    def _is_released(self, epoch: int) -> bool:
        return (epoch, _RELEASED) in self._parts()

    def _last_beat(self, epoch: int) -> int:
        numbers = (int(part.removeprefix(_BEAT)) for e, part in self._parts() if e == epoch and _BEAT in part)
        return max(numbers, default=0)

    def _newest_epoch(self) -> int:
        return max((epoch for epoch, part in self._parts() if part == _OWNER), default=0)

    def _parts(self) -> list[tuple[int, str]]:
        names = (path.removeprefix(self._prefix) for path in self._objects.list(self._prefix))
        return [(int(epoch), part) for epoch, dot, part in (name.partition(".") for name in names) if dot]

    def _read_owner(self, epoch: int) -> LockOwner | None:
        try:
            return LockOwner.model_validate_json(self._objects.read(self._path(epoch, _OWNER)))
        except MissingVersionError:
            return None
        except ValidationError:
            return UNKNOWN_OWNER

    def _delete(self, parts: Sequence[tuple[int, str]]) -> None:
        for epoch, part in parts:
            self._objects.delete(self._path(epoch, part))

    def _path(self, epoch: int, part: str) -> str:
        return f"{self._prefix}{epoch:09d}.{part}"

    def _write_beat(self, number: int) -> None:
        self._objects.put_new(self._path(self._epoch, f"{_BEAT}{number:09d}"), str(time.monotonic()).encode())

    def _beat(self) -> None:
        number = 1
        while not self._stop.wait(min(_BEAT_SECONDS, self._lease_seconds / 4)):
            # A beat that is lost shortens the lease, no more.
            with contextlib.suppress(StorageFullError, StoreError):
                if self._newest_epoch() != self._epoch:
                    return
                number += 1
                self._write_beat(number)
                self._objects.delete(self._path(self._epoch, f"{_BEAT}{number - 1:09d}"))


@contextmanager
def wait_for_lock(
    objects: ObjectStore, name: str, *, patience_seconds: float, lease_seconds: float
) -> Generator[FeatureLock]:
    """Hold a lock that everyone holds for a short time only: wait for it instead of giving up.

    Args:
        objects: The store's objects.
        name: What is locked.
        patience_seconds: How long to wait.
        lease_seconds: See `FeatureLock`.

    Raises:
        LockHeldError: If it is still held when patience ends.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        lock = FeatureLock(objects, name, lease_seconds=lease_seconds)
        try:
            held = lock.__enter__()
            break
        except LockHeldError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(0.02, 0.2))  # noqa: S311 apart from others that wait, nothing secret
    try:
        yield held
    finally:
        held.release()

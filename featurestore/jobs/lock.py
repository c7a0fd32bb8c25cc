"""Locks between jobs, with a fencing epoch.

A lock is a folder of numbered owner files; the highest number is the *epoch*, and its file says who owns it.
Taking the lock creates the next number, which the file system lets one job do. A job that slept for longer
than the lease may lose its lock: it finds a higher epoch at its next `FeatureLock.check` and must not commit.
"""

import contextlib
import getpass
import json
import math
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from featurestore.errors import LockHeldError
from featurestore.spec import Frozen

LEASE_SECONDS: Final = 120.0
"""An owner whose heartbeat is older than this counts as dead, wherever it runs."""
_BEAT_SECONDS: Final = 10.0
_ZOMBIE: Final = "Z"


class LockOwner(Frozen):
    """Who holds a lock."""

    user: str
    pid: int
    host: str
    since: str
    process_started: str | None = None
    """When the process began, in the kernel's words: pids are used again."""
    released: bool = False

    def __str__(self) -> str:
        return f"{self.user}, pid {self.pid} on {self.host}, since {self.since}"


class FeatureLock:
    """The right to write one feature version. Use it as a context manager.

    Args:
        folder: Folder of all locks of a project.
        name: What is locked, such as a table name.
        lease_seconds: Age of a heartbeat after which another job may take over.

    Raises:
        LockHeldError: On entering, if a living job holds the lock; names its owner.
    """

    def __init__(self, folder: Path, name: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.name = name
        self._folder = folder / name
        self._lease_seconds = lease_seconds
        self._epoch = 0
        self._stop = threading.Event()

    @property
    def epoch(self) -> int:
        """The fencing epoch this job holds; 0 before entering."""
        return self._epoch

    def __enter__(self) -> "FeatureLock":
        self._folder.mkdir(parents=True, exist_ok=True)
        newest = self._newest_epoch()
        if newest and (owner := self._living_owner(newest)):
            raise self._held(owner)
        if not self._create(newest + 1):
            raise self._held(self._read(newest + 1))
        self._epoch = newest + 1
        self.check()
        self._remove_older()
        threading.Thread(target=self._beat, name=f"lock {self.name}", daemon=True).start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._newest_epoch() == self._epoch:
            self._write(self._path(self._epoch), _this_process().model_copy(update={"released": True}))

    def check(self) -> None:
        """Call before every commit.

        Raises:
            LockHeldError: If another job has taken the lock over.
        """
        newest = self._newest_epoch()
        if newest != self._epoch:
            owner = self._read(newest)
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
        owner = self._read(epoch)
        if owner is None or owner.released:
            return None
        here = owner.host == socket.gethostname()
        if here and _process_started(owner.pid) != owner.process_started:
            return None
        return owner if self._heartbeat_age(epoch) <= self._lease_seconds else None

    def _heartbeat_age(self, epoch: int) -> float:
        try:
            return time.time() - self._path(epoch).stat().st_mtime
        except FileNotFoundError:
            return math.inf

    def _newest_epoch(self) -> int:
        return max((int(path.stem) for path in self._folder.glob("*.json")), default=0)

    def _create(self, epoch: int) -> bool:
        draft = self._folder / f".{os.getpid()}-{threading.get_ident()}"
        draft.write_text(_this_process().model_dump_json(), "utf-8")
        try:
            os.link(draft, self._path(epoch))
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def _write(self, path: Path, owner: LockOwner) -> None:
        draft = path.with_suffix(".draft")
        draft.write_text(owner.model_dump_json(), "utf-8")
        draft.replace(path)

    def _read(self, epoch: int) -> LockOwner | None:
        try:
            return LockOwner.model_validate(json.loads(self._path(epoch).read_text("utf-8")))
        except FileNotFoundError:
            return None

    def _remove_older(self) -> None:
        for path in self._folder.glob("*.json"):
            if int(path.stem) < self._epoch:
                path.unlink(missing_ok=True)

    def _path(self, epoch: int) -> Path:
        return self._folder / f"{epoch:09d}.json"

    def _beat(self) -> None:
        while not self._stop.wait(min(_BEAT_SECONDS, self._lease_seconds / 4)):
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path(self._epoch))


def _this_process() -> LockOwner:
    return LockOwner(
        user=_user_name(),
        pid=os.getpid(),
        host=socket.gethostname(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        process_started=_process_started(os.getpid()),
    )


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user id without a name
        return "unknown user"


def _process_started(pid: int) -> str | None:
    """Start time of a running process; ``running`` where the platform hides it; None if there is none."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _signal_probe(pid)
    return None if state == _ZOMBIE else fields[18]


def _signal_probe(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "running"

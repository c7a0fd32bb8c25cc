"""Who holds a lock: a process, and what another one needs to know whether it still runs."""

import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from featurestore.spec import Frozen

_ZOMBIE: Final = "Z"


class LockOwner(Frozen):
    """A process that holds a lock."""

    user: str
    pid: int
    host: str
    since: str
    """For people only: no decision reads it."""
    process_started: str | None = None
    """When the process began, in the kernel's words: pids are used again."""
    boot_id: str | None = None
    """Which start of which machine; None where the platform hides it."""
    pid_namespace: str | None = None
    """Within which its pid means something: containers number their processes anew."""

    def __str__(self) -> str:
        return f"{self.user}, pid {self.pid} on {self.host}, since {self.since}"


UNKNOWN_OWNER: Final = LockOwner(
    user="a user of another version of this product", pid=0, host="some host", since="unknown", boot_id=""
)
"""Stands for a record that this version cannot read. Only its heartbeats say whether it lives."""


def this_process() -> LockOwner:
    """The running process."""
    return LockOwner(
        user=_user_name(),
        pid=os.getpid(),
        host=socket.gethostname(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        process_started=_process_started(os.getpid()),
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(),
    )


def same_boot(owner: LockOwner) -> bool:
    """Whether the owner's monotonic clock is this process's too."""
    return owner.boot_id is not None and owner.boot_id == _boot_id()


def is_gone(owner: LockOwner) -> bool:
    """Whether the owner certainly does not run any more. False if this machine cannot know."""
    neighbours = same_boot(owner) and owner.pid_namespace == _pid_namespace()
    # Without a boot id (no Linux), the host's name is all there is to go by.
    if not neighbours and not (owner.boot_id is _boot_id() is None and owner.host == socket.gethostname()):
        return False
    return _process_started(owner.pid) != owner.process_started


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user id without a name
        return "unknown user"


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


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

"""What this machine has: memory, disk, GPUs, processor flags, a way to the model hub."""

import os
import platform
import shutil
import subprocess
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
_HUB_SECONDS = 4.0
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU."""

    name: str
    memory_gib: float
    free_gib: float


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts, as values: checks take them, tests make them up.

    Attributes:
        memory_gib: Main memory, or this container's limit, GiB.
        free_memory_gib: What of it is available now.
        free_disk_gib: Free space where models are cached.
        gpus: Visible NVIDIA GPUs.
        architecture: Such as ``x86_64``.
        cpu_flags: Instruction sets, as Linux names them; empty where unknown.
        cores: Logical processors this process may use.
    """

    memory_gib: float
    free_memory_gib: float
    free_disk_gib: float
    gpus: tuple[Gpu, ...] = ()
    architecture: str = "x86_64"
    cpu_flags: frozenset[str] = frozenset()
    cores: int = 1

    @property
    def device(self) -> str:
        """``cpu``, or the first GPU's name."""
        return self.gpus[0].name if self.gpus else "cpu"

    @property
    def model_memory_gib(self) -> float:
        """Free memory where a model would live: the first GPU's, or the machine's."""
        return self.gpus[0].free_gib if self.gpus else self.free_memory_gib

    def describe(self) -> str:
        """One clause for error messages."""
        gpus = (
            ", ".join(f"a {g.name} with {g.memory_gib:.0f} GiB ({g.free_gib:.0f} free)" for g in self.gpus)
            or "no GPU"
        )
        return (
            f"this machine has {self.memory_gib:.1f} GiB of memory ({self.free_memory_gib:.1f} free), "
            f"{gpus}, and {self.free_disk_gib:.0f} GiB of free disk"
        )


def look_at_machine(cache: Path) -> Machine:
    """Facts of this machine, in some ten milliseconds.

    Args:
        cache: Where models would be kept; its file system's free space is reported.
    """
    total, free = _memory_gib()
    return Machine(
        memory_gib=total,
        free_memory_gib=free,
        free_disk_gib=shutil.disk_usage(_existing_parent(cache)).free / GIB,
        gpus=_gpus(),
        architecture=platform.machine(),
        cpu_flags=_cpu_flags(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def hub_reachable(seconds: float = _HUB_SECONDS) -> bool:
    """Whether the model hub answers within some seconds, whatever name resolution does meanwhile."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() not in {"", "0", "false", "no"}:
        return False
    answered = threading.Event()
    thread = threading.Thread(target=_ask_hub, args=(answered, seconds), daemon=True, name="hub-probe")
    thread.start()
    return answered.wait(seconds)


def _ask_hub(answered: threading.Event, seconds: float) -> None:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        return
    request = urllib.request.Request(f"{endpoint}/api/models?limit=1", headers={"User-Agent": "featurestore"})  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:  # noqa: S310 - same request
            if response.status == 200:
                answered.set()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: sockets switched off, as in tests
        return


def _existing_parent(path: Path) -> Path:
    path = path.expanduser().absolute()
    while not path.exists():
        path = path.parent
    return path


def _memory_gib() -> tuple[float, float]:
    info = Path("/proc/meminfo")
    if not info.exists():
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
        return total, total
    kib = {line.split(":")[0]: int(line.split()[1]) for line in info.read_text().splitlines()}
    total, free = kib["MemTotal"] / 1024**2, kib["MemAvailable"] / 1024**2
    limit = _cgroup_limit_gib()
    return min(total, limit), min(free, limit)


def _cgroup_limit_gib() -> float:
    for name in _CGROUP_LIMITS:
        path = Path(name)
        if path.exists() and (text := path.read_text().strip()).isdigit():
            return int(text) / GIB
    return float("inf")


def _cpu_flags() -> frozenset[str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return frozenset()
    for line in info.read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def _gpus() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command line
            [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines() if line.strip()]
    return tuple(Gpu(name, float(total) / 1024, float(free) / 1024) for name, total, free in rows)

"""What a record says of the machine it was made on."""

import os
import platform
from pathlib import Path

from llm_jobs.machine import look_at_machine


def machine_facts() -> dict[str, str]:
    """Hardware, in words."""
    machine = look_at_machine(Path.cwd())
    return {
        "processor": f"{_processor()}, {machine.cores} cores",
        "memory": f"{machine.memory_gib:.0f} GiB",
        "GPU": ", ".join(gpu.name for gpu in machine.gpus) or "none",
        "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
        "Python": platform.python_version(),
    }


def _processor() -> str:
    """The processor's name, where Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

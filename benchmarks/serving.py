"""The inner half of a measured process: answers one JSON line per request until its input ends.

Each side of a comparison runs in a process of its own, so that its peak memory is its own and a peer may live
in an environment of its own. This file imports the standard library alone: peers' environments run it too.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeAlias

Measure: TypeAlias = Callable[..., Mapping[str, Any]]
"""Keyword arguments of a request → the figures of its answer."""


def serve(prepare: Callable[[], Measure]) -> None:
    """Prepare once, then measure on request.

    Every answer holds the figures of ``measure`` and

    * ``seconds``: its wall clock, unless it gives its own;
    * ``ready_mb``: resident when ``prepare`` had ended, with libraries, data and model;
    * ``peak_mb``: the most that was resident since.

    Args:
        prepare: Loads data and models; what it prints goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    measure = prepare()
    gc.collect()
    ready = _status_mb("VmRSS")
    _forget_peak()
    _write(answers, {"ready": True})
    for line in sys.stdin:
        gc.collect()
        start = time.perf_counter()
        figures = measure(**json.loads(line))
        seconds = time.perf_counter() - start
        memory = {"ready_mb": ready, "peak_mb": _status_mb("VmHWM")}
        _write(answers, {"seconds": seconds} | dict(figures) | memory)


def _write(answers: TextIO, content: Mapping[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def _status_mb(field: str) -> float:
    """One line of ``/proc/self/status``; `getrusage` may give the peak of whoever forked us."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

"""Ends an engine's processes when the process that started them is killed.

vLLM's engine process does not notice that its parent is gone (seen with 0.32): after a kill -9 it would keep
its memory for good. So a small process of our own waits at a pipe. If the pipe closes without a word, the
parent is dead, and whatever carries this guard's mark in its environment is ended. Linux only, as vLLM.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_MARK = "FEATURESTORE_ENGINE_MARK"
_GOODBYE = b"closed"
_PATIENCE_SECONDS = 10.0


class ProcessGuard:
    """Watches over processes that are started inside `marking`, until it is closed."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, "-I", __file__, self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
        )

    @contextmanager
    def marking(self) -> Generator[None]:
        """Processes started in this block carry the mark."""
        os.environ[_MARK] = self._mark
        try:
            yield
        finally:
            os.environ.pop(_MARK, None)

    def close(self) -> None:
        """Let go: the engine has been closed in good order."""
        if self._process.poll() is None:
            self._process.communicate(_GOODBYE)


def _marked(mark: str) -> list[int]:
    wanted = f"{_MARK}={mark}".encode()
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found


def _end(mark: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    _signal(mark, signal.SIGTERM)
    while _marked(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    _signal(mark, signal.SIGKILL)


def _signal(mark: str, number: signal.Signals) -> None:
    for process in _marked(mark):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


if __name__ == "__main__" and sys.stdin.buffer.read() != _GOODBYE:
    _end(sys.argv[1])

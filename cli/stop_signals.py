"""Ctrl-C and SIGTERM end a command in one way: it unwinds, what is done is flushed, and neither gets lost.

Python drops an exception that a signal raises while a finalizer or a weak reference's callback runs: the
command would go on as if nothing had been sent. What was dropped is therefore sent again.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Protocol

TERMINATED = 143
INTERRUPTED = 130
_AGAIN_SECONDS = 0.05
_arrived = threading.Event()


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: whatever keeps something at Ctrl-C keeps it now as well. Ends with 143."""

    exit_code = TERMINATED


class _Unraisable(Protocol):
    """What `sys.unraisablehook` is told."""

    @property
    def exc_value(self) -> BaseException | None: ...


def take_signals() -> None:
    """Let SIGTERM unwind this process, and send a signal again whose exception was dropped."""
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell keeps Ctrl-C from us
        signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _send_again


def _send_again(dropped: _Unraisable) -> None:
    match dropped.exc_value:
        case Terminated():
            signal.signal(signal.SIGTERM, _terminate)
            _send_later(signal.SIGTERM)
        case KeyboardInterrupt():
            _send_later(signal.SIGINT)
        case _:
            sys.__unraisablehook__(dropped)  # pyright: ignore[reportArgumentType]  # of the same attributes


def how_stopped(error: BaseException | None = None) -> tuple[str, int]:
    """A word for the signal that stopped this command, and the exit code that says so.

    Args:
        error: What ended it, if that is known.
    """
    was_terminated = isinstance(error, Terminated) or _arrived.is_set()
    return ("terminated", TERMINATED) if was_terminated else ("interrupted", INTERRUPTED)


def _terminate(signum: int, frame: FrameType | None) -> None:
    """The first SIGTERM unwinds; those after it must not end what it flushes."""
    if _would_be_dropped(frame):
        return _send_later(signum)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _arrived.set()
    raise Terminated


def _interrupt(signum: int, frame: FrameType | None) -> None:
    if _would_be_dropped(frame):
        return _send_later(signum)
    raise KeyboardInterrupt


def _would_be_dropped(frame: FrameType | None) -> bool:
    """Whether what was running is the hook for dropped exceptions, which drops its own."""
    while frame is not None and frame.f_code is not _send_again.__code__:
        frame = frame.f_back
    return frame is not None


def _send_later(number: int) -> None:
    """Once the callback that dropped the exception is over."""
    timer = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()

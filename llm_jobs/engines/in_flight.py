"""Requests on their way through an engine: no key twice at once, each answered once."""

import queue
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from llm_jobs.engine import Completion, Request


class InFlight:
    """Keys that wait for their outcome, and outcomes that wait to be polled. Safe between threads."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._done: queue.SimpleQueue[Completion] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def add(self, requests: Sequence[Request]) -> None:
        """Take in requests, all or none.

        Raises:
            ValueError: If a key is in flight already, or twice among them.
        """
        keys = [request.key for request in requests]
        with self._lock:
            doubled = {key for key, count in Counter(keys).items() if count > 1 or key in self._keys}
            if doubled:
                raise ValueError(f"requests are in flight already: {', '.join(sorted(doubled))}")
            self._keys.update(keys)

    def finish(self, completion: Completion) -> None:
        """Give a key its outcome; a second one is dropped."""
        with self._lock:
            if completion.key in self._keys:
                self._keys.remove(completion.key)
                self._done.put(completion)

    def poll(self, timeout: float) -> list[Completion]:
        """Outcomes that are there, waiting up to ``timeout`` seconds for the first if any is to come."""
        ready: list[Completion] = []
        with suppress(queue.Empty):
            ready.append(self._done.get(timeout=timeout) if self._keys else self._done.get_nowait())
            while True:
                ready.append(self._done.get_nowait())
        return ready

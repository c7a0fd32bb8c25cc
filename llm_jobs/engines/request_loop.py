"""An event loop in a thread of its own, on which each request of an engine is a task."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from llm_jobs.engine import Completion, failed_completion
from llm_jobs.engines.in_flight import InFlight

_CLOSE_SECONDS = 30.0

_T = TypeVar("_T")

Answer = Callable[[], Coroutine[Any, Any, Completion]]
"""Starts the coroutine that brings a request's outcome."""


class RequestLoop:
    """Runs requests as tasks; what an engine on an asynchronous library stands on.

    Args:
        name: Of the thread.
        in_flight: Gets the outcomes.
    """

    def __init__(self, name: str, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._tasks: dict[str, asyncio.Task[Completion]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, _T], timeout: float | None = None) -> _T:
        """Run a coroutine on the loop and wait for its result.

        Raises:
            TimeoutError: If it takes longer than ``timeout`` seconds.
        """
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def start(self, key: str, answer: Answer, *, prompt_tokens: int = 0) -> None:
        """Start a request's task.

        Args:
            key: The request's key.
            answer: Brings the outcome. What it raises becomes an ``engine_error``.
            prompt_tokens: What an aborted request reports.
        """
        self._loop.call_soon_threadsafe(self._begin, key, answer, prompt_tokens)

    def abort(self, keys: Sequence[str]) -> None:
        """Cancel tasks; each request ends as ``aborted`` unless it is done already."""
        self._loop.call_soon_threadsafe(self._cancel, list(keys))

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel all tasks, run a last coroutine, end loop and thread; waits 30 seconds at most for each."""
        with suppress(TimeoutError, asyncio.CancelledError):
            self.call(self._wind_up(last), _CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _begin(self, key: str, answer: Answer, prompt_tokens: int) -> None:
        """On the loop: even a task that is cancelled before it ran has an outcome."""

        def finish(task: asyncio.Task[Completion]) -> None:
            self._tasks.pop(key, None)
            if task.cancelled():
                outcome = failed_completion(key, "aborted", "aborted before it finished", prompt_tokens)
            elif error := task.exception():
                words = f"{type(error).__name__}: {error}"[:500]
                outcome = failed_completion(key, "engine_error", words, prompt_tokens)
            else:
                outcome = task.result()
            self._in_flight.finish(outcome)

        task = self._loop.create_task(answer())
        self._tasks[key] = task
        task.add_done_callback(finish)

    def _cancel(self, keys: Sequence[str]) -> None:
        for key in keys:
            if task := self._tasks.get(key):
                task.cancel()

    async def _wind_up(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await _cancelled(list(self._tasks.values()))
        await last()
        await _cancelled([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

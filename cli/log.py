"""The log for machines: with ``--log-json``, standard error is one JSON object a line and nothing else."""

import json
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from featurestore.progress import RunSnapshot

_EVERY_SECONDS: Final = 10.0
_JSON_LOG: ContextVar[bool] = ContextVar("json_log", default=False)


def use_json_log(*, wanted: bool) -> None:
    """Choose between lines for people and objects for machines, for the command that is about to run."""
    _JSON_LOG.set(wanted)


def has_json_log() -> bool:
    """Whether standard error is for machines."""
    return _JSON_LOG.get()


def log_event(event: str, **facts: object) -> None:
    """Write one event.

    Args:
        event: What happened, such as ``progress``.
        facts: JSON values; others become strings.
    """
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    sys.stderr.write(json.dumps({"time": moment, "event": event, **facts}, ensure_ascii=False, default=str))
    sys.stderr.write("\n")
    sys.stderr.flush()


class ProgressLog:
    """A `featurestore.progress.Progress` that writes an event every ten seconds, and one at the end.

    Args:
        label: What goes on.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._written_at = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See `featurestore.progress.Progress`."""
        now = time.monotonic()
        if now - self._written_at < _EVERY_SECONDS and not (done and done == total):
            return
        self._written_at = now
        log_event("progress", what=self._label, done=done, total=total, note=note)


class RunLog:
    """A `featurestore.progress.RunProgress`: an event every ten seconds, and at changes of phase."""

    def __init__(self) -> None:
        self._phase = ""
        self._written_at = 0.0

    def __call__(self, snapshot: RunSnapshot) -> None:
        """See `featurestore.progress.RunProgress`."""
        now = time.monotonic()
        if snapshot.phase == self._phase and now - self._written_at < _EVERY_SECONDS:
            return
        self._phase, self._written_at = snapshot.phase, now
        log_event(f"run_{snapshot.phase}", **_facts(snapshot))


def _facts(snapshot: RunSnapshot) -> dict[str, object]:
    return {
        "run_id": snapshot.run_id,
        "feature": snapshot.feature,
        "model": snapshot.model,
        "seconds": round(snapshot.seconds, 3),
        "done": snapshot.done,
        "total": snapshot.total,
        "rows": {stage: dict(outcomes) for stage, outcomes in snapshot.rows.items()},
        "failed": snapshot.num_failed,
        "requests": snapshot.requests,
        "in_flight": snapshot.in_flight,
        "prompt_tokens": snapshot.prompt_tokens,
        "cached_tokens": snapshot.cached_tokens,
        "output_tokens": snapshot.output_tokens,
        "tokens_per_second": round(snapshot.tokens_per_second, 1),
        "planned_tokens": snapshot.planned_tokens,
        "seconds_left": snapshot.seconds_left,
        "error": snapshot.error,
    }

"""What commands print: steps and tables for people, one JSON object for machines.

With ``--json`` standard output carries exactly one JSON object; everything else goes to standard error. With
``--log-json`` standard error is for machines too (see `cli.log`).
"""

import json
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer

from cli.log import ProgressLog, RunLog, has_json_log, log_event
from featurestore.progress import Progress, RunProgress, RunSnapshot

_LINE_SECONDS = 5.0
_BAR_SECONDS = 0.2
_QUIET_SECONDS = 2.0
_REPEAT_SECONDS = 60.0
"""Where there is no terminal, a line that says nothing new is a sign of life, and needed no oftener."""


class Interrupted(BaseException):
    """A signal ended a command that has words of its own for what is kept; the message has them."""


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """An error as a person or a machine reads it.

    Attributes:
        type: Name of the error class, such as ``UnknownNameError``.
        message: What was found and what was expected.
        exit_code: What the command ends with.
        hint: What to do about it; may be empty.
    """

    type: str
    message: str
    exit_code: int
    hint: str = ""


def print_error(report: ErrorReport, *, as_json: bool) -> None:
    """Print an error on standard error; with ``as_json`` as one object on standard output too."""
    hint = "".join(f"\n  {line}".rstrip() for line in report.hint.splitlines())
    fields: dict[str, object] = {
        "type": report.type,
        "message": report.message,
        "hint": report.hint,
        "exit_code": report.exit_code,
    }
    if has_json_log():
        log_event("error", **fields)
    else:
        typer.echo(f"error: {report.message}{hint}", err=True)
    if as_json:
        typer.echo(json.dumps({"error": fields}, ensure_ascii=False, indent=2))


class Reporter:
    """Prints for one command.

    Args:
        as_json: Print only the final `result`, as JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, text: str) -> None:
        """One line for people."""
        if self._as_json and has_json_log():
            log_event("message", text=text)
        else:
            typer.echo(text, err=self._as_json)

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        """A plain text table: one line per row, columns of the first row."""
        if not rows:
            self.say(f"{title}: none")
            return
        names = list(rows[0])
        cells = [[_cell(row.get(name)) for name in names] for row in rows]
        widths = [max(len(n), *(len(line[i]) for line in cells)) for i, n in enumerate(names)]
        self.say(title)
        for line in [names, *cells]:
            self.say("  " + "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip())

    def result(self, data: Mapping[str, Any]) -> None:
        """The command's outcome: printed only with ``--json``."""
        if self._as_json:
            typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))

    @contextmanager
    def progress(self, label: str) -> Generator[Progress]:
        """A progress callback that draws a bar on a terminal, and a line now and then elsewhere."""
        if has_json_log():
            yield ProgressLog(label)
            return
        bar = _ProgressLine(label)
        try:
            yield bar
        finally:
            bar.end()

    @contextmanager
    def run_progress(self, *others: RunProgress) -> Generator[RunProgress]:
        """A callback for a run: shows it as `progress` does, and hands it on.

        Args:
            others: Told of the run as well.
        """
        line = _RunLine()
        shown: RunProgress = RunLog() if has_json_log() else line

        def tell(snapshot: RunSnapshot) -> None:
            for watcher in (shown, *others):
                watcher(snapshot)

        try:
            yield tell
        finally:
            line.end()


class _StatusLine:
    """A line that is drawn over on a terminal; elsewhere one with news is printed now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self.started = time.monotonic()
        self._last = self.started + _QUIET_SECONDS
        self._drawn = False
        self._shown = ("", self.started)

    def due(self, *, finished: bool) -> float | None:
        """The time, if a line is due; the last one is if there was one before."""
        now = time.monotonic()
        every = _BAR_SECONDS if self._terminal else _LINE_SECONDS
        if now - self._last < every and not (self._drawn and finished):
            return None
        self._last, self._drawn = now, True
        return now

    def show(self, text: str, now: float) -> None:
        """Draw or print."""
        before, when = self._shown
        if not self._terminal and text == before and now - when < _REPEAT_SECONDS:
            return
        self._shown = (text, now)
        sys.stderr.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line from the terminal."""
        if self._drawn and self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class _ProgressLine:
    def __init__(self, label: str) -> None:
        self._label = label
        self._line = _StatusLine()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = self._line.due(finished=done == total)
        if now is None:
            return
        seconds = (now - self._line.started) * (total - done) / done if 0 < done < total else None
        count = f"{done:,}/{total:,}" if total else f"{done:,}"
        left = f", {duration(seconds)} left" if seconds is not None else ""
        self._line.show(f"{self._label}: {count}{left}{', ' + note if note else ''}", now)

    def end(self) -> None:
        self._line.end()


class _RunLine:
    def __init__(self) -> None:
        self._line = _StatusLine()

    def __call__(self, snapshot: RunSnapshot) -> None:
        if snapshot.phase != "running":
            return
        now = self._line.due(finished=snapshot.done == snapshot.total)
        if now is None:
            return
        left = snapshot.seconds_left
        parts = [
            f"{snapshot.feature}: {snapshot.done:,}/{snapshot.total:,}",
            f"{snapshot.num_rows:,} rows",
            f"{snapshot.tokens_per_second:,.0f} tokens/s",
            f"{snapshot.cached_share:.0%} of prompts cached",
            f"{snapshot.num_failed:,} failed",
        ]
        if left:
            parts.append(f"{duration(left)} left")
        self._line.show(", ".join(parts), now)

    def end(self) -> None:
        self._line.end()


def duration(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.4f}"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return str(value)

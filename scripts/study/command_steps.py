"""Steps of long proofs, most of them commands: each is done once, and kept with what it took."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from featurestore.errors import SetupError
from featurestore.spec import Frozen
from scripts.study.datasets import ROOT

_KIB: Final = 1024


class StepTime(Frozen):
    """A step: its command, how long it took, and in how many runs, the stopped ones included."""

    command: str
    seconds: float
    processor_seconds: float
    runs: int


class Steps:
    """A journal on disk: what was run, what came of it, and its time over all runs.

    Args:
        path: The journal; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else {}

    @property
    def times(self) -> tuple[StepTime, ...]:
        """All steps in the order in which they began."""
        return tuple(
            StepTime(
                command=name,
                seconds=round(step["seconds"], 1),
                processor_seconds=round(step["processor_seconds"], 1),
                runs=step["runs"],
            )
            for name, step in self._done.items()
        )

    def command(self, project: Path, words: Sequence[str], *, note: str = "") -> dict[str, Any]:
        """Run a ``featurestore`` command in a project; gives the JSON that it prints.

        Args:
            project: Its folder, in which the command runs.
            words: The command.
            note: Tells apart steps of the same command.

        Returns:
            That, and ``peak_bytes``: the most memory that the command held.

        Raises:
            SetupError: If it fails.
        """
        name = f"{_shown(words)} ({note})" if note else _shown(words)
        return self.kept(name, lambda: _run(project, words))

    def kept(self, name: str, do: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON value
        """What a step gave; it is done if it has not been. What it gives must be JSON."""
        if name in self._done and "outcome" in self._done[name]:
            return self._done[name]["outcome"]
        print(f"==> {name}", flush=True)
        step = self._done.setdefault(name, {"seconds": 0.0, "processor_seconds": 0.0, "runs": 0})
        step["runs"] += 1
        with self._timed(step):
            step["outcome"] = do()
        print(f"    {step['seconds']:.0f} s", flush=True)
        return step["outcome"]

    @contextmanager
    def _timed(self, step: dict[str, Any]) -> Generator[None]:
        """Add the time of a block to its step, and keep the journal, however it ends."""
        started, processor = time.monotonic(), _processor_seconds()
        self._keep()
        try:
            yield
        finally:
            step["seconds"] += time.monotonic() - started
            step["processor_seconds"] += _processor_seconds() - processor
            self._keep()

    def _keep(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".fresh")
        fresh.write_text(json.dumps(self._done, ensure_ascii=False, indent=1), encoding="utf-8")
        fresh.replace(self._path)


def _run(project: Path, words: Sequence[str]) -> dict[str, Any]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words, "--json"],
        stdout=subprocess.PIPE,
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SetupError(
            f"`{_shown(words)}` ended with exit code {process.returncode}.",
            hint="Its own message stands above; run again to go on from this command.",
        )
    return json.loads(printed) | {"peak_bytes": used.ru_maxrss * _KIB}


def _shown(words: Sequence[str]) -> str:
    """A command as a person would type it."""
    return " ".join(["featurestore", *(f'"{word}"' if " " in word else word for word in words)])


def _processor_seconds() -> float:
    """Processor time of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

"""The main path on public data sets: every step is a ``featurestore`` command, its outcome is recorded.

    python examples/real_data/run.py amazon14-beauty --data ../shared/data --project /tmp/beauty

The commands stand in ``datasets.toml``. A step that was recorded with the same command is not run again, so
an interrupted run goes on where it stopped. The record, ``docs/results/main-path/<data set>.json``, holds
each command, its seconds and the JSON it printed, cut to what a reader needs. The data itself is never copied
into this repository.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

RECORDS = Path(__file__).parents[2] / "docs" / "results" / "main-path"
STEPS = Path(__file__).with_name("datasets.toml")
MAX_LIST = 20
MAX_TEXT = 400

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | int | bool | None"


@dataclass(frozen=True)
class Run:
    """One data set's run.

    Attributes:
        dataset: Folder name of the data set.
        data: Folder of all data sets.
        project: Folder of the project to make or to go on with.
    """

    dataset: str
    data: Path
    project: Path

    @property
    def record(self) -> Path:
        """Where the outcome is written."""
        return RECORDS / f"{self.dataset}.json"

    def command(self, step: str) -> list[str]:
        """A step's arguments with ``{data}`` filled in."""
        folder = (self.data / self.dataset).resolve()
        return [part.replace("{data}", str(folder)) for part in shlex.split(step)]


def shortened(value: Json) -> Json:
    """The value with long lists and texts cut, and the cut said."""
    match value:
        case str() if len(value) > MAX_TEXT:
            return f"{value[:MAX_TEXT]}… ({len(value)} characters)"
        case list() if len(value) > MAX_LIST:
            return [*map(shortened, value[:MAX_LIST]), f"… {len(value)} in all"]
        case list():
            return [shortened(part) for part in value]
        case dict():
            return {name: shortened(part) for name, part in value.items()}
        case _:
            return value


def without_paths(value: Json, run: Run) -> Json:
    """The value with this machine's folders replaced by what they stand for."""
    text = json.dumps(value, ensure_ascii=False)
    for folder, name in [(run.data.resolve(), "{data}"), (run.project.resolve(), "{project}")]:
        text = text.replace(str(folder), name)
    return json.loads(text)


def run_step(run: Run, step: str) -> dict[str, Any]:
    """Run one command; a failure ends the run with the command's own message."""
    print(f"==> featurestore {step}", flush=True)
    folder = [str(run.project)] if step == "init" else ["--project", str(run.project)]
    arguments = [*run.command(step), *folder, "--json"]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = round(time.monotonic() - start, 1)
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode} after {seconds} s: {done.stdout}")
    outcome = without_paths(shortened(json.loads(done.stdout)), run)
    print(f"    {seconds} s", flush=True)
    return {"command": f"featurestore {step}", "seconds": seconds, "outcome": outcome}


def run_all(run: Run, steps: list[str]) -> None:
    """Run the steps that are not recorded yet; the record is written after each."""
    steps_done: list[dict[str, Any]] = []
    if run.record.exists() and run.project.exists():
        steps_done = json.loads(run.record.read_text(encoding="utf-8"))["steps"]
    RECORDS.mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(steps):
        if number < len(steps_done) and steps_done[number]["command"] == f"featurestore {step}":
            continue
        steps_done = [*steps_done[:number], run_step(run, step)]
        content = {"dataset": run.dataset, "steps": steps_done, "not_run": steps[number + 1 :]}
        run.record.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Parse options, run."""
    known = tomllib.loads(STEPS.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", choices=sorted(known))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--project", type=Path, required=True)
    options = parser.parse_args()
    run_all(Run(options.dataset, options.data, options.project), known[options.dataset]["steps"])


if __name__ == "__main__":
    main()

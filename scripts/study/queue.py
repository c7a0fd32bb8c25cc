"""Which runs are due, and who works on which: one process per run, and none is lost when it is killed.

A run is claimed by a lock on a file of its key. The lock goes with its process however that ends, so a claim
never outlives who made it; the checkpoint stays, and the next one to claim the run goes on from it.
"""

import fcntl
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal, TypeAlias

from recommender.registry import model_names
from scripts.study.code_version import run_version
from scripts.study.records import Records
from scripts.study.runs import Record, Run

State: TypeAlias = Literal["current", "earlier", "due", "no model", "no data"]
"""``current``: a record of this code, run and data. ``earlier``: a record of others. ``due``: no record.
``no model``: the model's file does not exist yet. ``no data``: nothing is known of the data set here."""
DUE: Final[frozenset[State]] = frozenset({"due", "earlier"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands.

    Attributes:
        run: The run.
        key: Of the result that it would have now; None without model or data.
        record: The newest record, of whatever key; None without.
        state: See `State`.
    """

    run: Run
    key: str | None
    record: Record | None
    state: State


def standings(runs: Sequence[Run], records: Records, data: Mapping[str, str]) -> list[Standing]:
    """How runs stand, in their order.

    Args:
        runs: Declared runs.
        records: Where records lie.
        data: Data set → its digest.
    """
    models = frozenset(model_names())
    return [standing(run, records, data, models) for run in runs]


def standing(run: Run, records: Records, data: Mapping[str, str], models: frozenset[str]) -> Standing:
    """How one run stands; see `standings`."""
    record = records.find(run)
    if run.model not in models:
        return Standing(run, None, record, "no model")
    if run.dataset not in data:
        return Standing(run, None, record, "no data")
    key = run.key(run_version(run), data[run.dataset])
    if record is None:
        return Standing(run, key, None, "due")
    return Standing(run, key, record, "current" if record.key == key else "earlier")


def chosen(runs: Sequence[Run], patterns: Sequence[str]) -> list[Run]:
    """Runs whose name matches one of some patterns such as ``colakg-lastfm/*/text/*``; all without any."""
    return [run for run in runs if not patterns or any(fnmatchcase(run.name, p) for p in patterns)]


@contextmanager
def claim(folder: Path, key: str) -> Generator[bool]:
    """Hold a run for this process; yields whether it was free.

    Args:
        folder: Of all claims; made if need be.
        key: Of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{key}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True

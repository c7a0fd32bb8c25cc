"""Kills a generating process at random moments, again and again, and checks what is left.

A round changes some items of a small shop and starts a job that brings their texts up to date; it is killed
(SIGKILL) several times before it may end. Jobs are forked from a server that has imported everything, so that
a kill costs a fraction of a second.
"""

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final

import pyarrow as pa
from generation_world import STAGES, item_cot, table_of
from kill_job import work

from featurestore.jobs.answers import ANSWERS_TABLE
from featurestore.schema import ITEMS
from featurestore.stores import connect
from llm_jobs.models import find_model, model_spec
from llm_jobs.plan import plan_generation
from llm_jobs.specs import stage_specs

PHASES: Final = ("run", "recovery", "commit", "cache", "compaction")
_PRELOADED: Final = ["kill_job", "lancedb", "lance"]
_ROUNDS_PER_SHOP: Final = 10
_KILLS_PER_ROUND: Final = 4
_ITEMS: Final = 40
_CHANGED: Final = 25
_LONGEST_RUN: Final = 0.8
_LONGEST_PHASE: Final = 0.03
_PATIENCE: Final = 60.0


@dataclass(slots=True)
class Kill:
    """One kill and what it cost.

    Attributes:
        phases: What the job was in the middle of.
        unflushed: Requests that it had asked and whose rows were not on disk yet.
        recomputed: Of these, how many were asked again later.
    """

    phases: tuple[str, ...]
    unflushed: int
    recomputed: int = 0


@dataclass(slots=True)
class Toll:
    """What all kills together cost. Lost and doubled must stay 0."""

    kills: list[Kill] = field(default_factory=list[Kill])
    rounds: int = 0
    lost: int = 0
    doubled: int = 0
    flushed_work_repeated: int = 0
    unclean: list[str] = field(default_factory=list[str])

    @property
    def worst(self) -> int:
        """Requests that one kill made repeat, at most."""
        return max((kill.recomputed for kill in self.kills), default=0)


def kill_often(folder: Path, seed: int, num_kills: int) -> Iterator[Toll]:
    """Kill jobs until there were enough kills.

    Args:
        folder: Empty; gets one shop after the other.
        seed: Draws what changes and when to kill.
        num_kills: How many jobs to kill.

    Yields:
        The toll so far, after every round; the last one is complete.
    """
    draw, toll = random.Random(seed), Toll()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    while len(toll.kills) < num_kills:
        shop = _Shop(folder / f"shop{toll.rounds}", draw, toll, context)
        for _ in range(_ROUNDS_PER_SHOP):
            shop.round(min(_KILLS_PER_ROUND, num_kills - len(toll.kills)))
            toll.rounds += 1
            yield toll
            if len(toll.kills) >= num_kills:
                return


class _Shop:
    """A store whose items change from round to round."""

    def __init__(self, folder: Path, draw: random.Random, toll: Toll, context: ForkServerContext) -> None:
        folder.mkdir(parents=True)
        self._folder, self._draw, self._toll, self._context = folder, draw, toll, context
        self._store = connect(str(folder / "store"))
        self._titles: dict[str, str] = {}
        self._journal = _Journal(folder / "journal", toll)
        self._num_changes = 0

    def round(self, num_kills: int) -> None:
        """Change items, kill the job that follows them, then let it end, and look at everything."""
        needed = self._change_items()
        for _ in range(num_kills):
            if not self._kill_one():
                break
        job = self._start()
        job.join(_PATIENCE)
        if job.exitcode != 0:
            self._toll.unclean.append(f"a job that was not killed ended with {job.exitcode}")
            job.kill()
        self._journal.read()
        self._check(needed)

    def _change_items(self) -> int:
        self._num_changes += 1
        chosen = self._draw.sample(range(_ITEMS), _CHANGED if self._titles else _ITEMS)
        changed = {f"i{n}": f"Kettle {n} of round {self._num_changes}" for n in chosen}
        self._titles |= changed
        rows = [{"item_id": item_id, "title": title, "price": 1.0} for item_id, title in changed.items()]
        self._store.upsert("source.items", pa.Table.from_pylist(rows, schema=ITEMS), key="item_id")
        return len(STAGES) * len(changed)

    def _start(self) -> ForkServerProcess:
        job = self._context.Process(target=work, args=(str(self._folder),))
        job.start()
        return job

    def _kill_one(self) -> bool:
        """Start a job and kill it. False if it ended before the moment that was drawn."""
        phase = self._draw.choice(PHASES)
        longest = _LONGEST_RUN if phase == "run" else _LONGEST_PHASE
        delay = self._draw.uniform(0.0, longest)
        job = self._start()
        deadline = time.monotonic() + _PATIENCE
        while job.is_alive() and not self._journal.has_begun(phase) and time.monotonic() < deadline:
            time.sleep(0.0005)
        job.join(delay)
        was_alive = job.is_alive()
        job.kill()
        job.join()
        self._journal.read()
        if was_alive:
            self._journal.end_run(killed=True)
        return was_alive

    def _check(self, needed: int) -> None:
        self._journal.check(needed)
        self._journal.end_run(killed=False)
        for stage in STAGES:
            rows = self._store.read(table_of(stage, item_cot()), columns=["id", "status"]).to_pylist()
            good = {row["id"] for row in rows if row["status"] == "ok"}
            self._toll.lost += len(set(self._titles) - good)
            self._toll.doubled += len(rows) - len({row["id"] for row in rows})
        entry = find_model("echo", {})
        specs = stage_specs(item_cot(), entry, model_spec(entry))
        self._toll.lost += len(plan_generation(self._store, item_cot(), specs).works)
        if self._store.latest(ANSWERS_TABLE) is not None:
            keys = self._store.read(ANSWERS_TABLE, columns=["request_key"])["request_key"].to_pylist()
            self._toll.doubled += len(keys) - len(set(keys))
        left = [path for path in self._folder.rglob("*") if path.suffix == ".log" or ".partial-" in path.name]
        self._toll.unclean += [f"{path.name} was left behind" for path in left]


class _Journal:
    """What the jobs of a shop have noted, read as it grows."""

    def __init__(self, path: Path, toll: Toll) -> None:
        self._path, self._toll = path, toll
        self._position = 0
        self._open_phases: Counter[str] = Counter()
        self._begun: set[str] = set()
        self._asked_by: dict[str, int | None] = {}
        """Key → number of the killed run that asked it last; None: one that was not killed (yet)."""
        self._asked_now: set[str] = set()
        self._flushed: set[str] = set()
        self._num_asked = self._num_repeated = 0

    def has_begun(self, phase: str) -> bool:
        """Whether the running job has come to a phase."""
        self.read()
        return phase in self._begun

    def read(self) -> None:
        """Take in what was noted since."""
        if not self._path.exists():
            return
        with self._path.open("rb") as journal:
            journal.seek(self._position)
            whole_lines = journal.read().rpartition(b"\n")[0] + b"\n"
        if len(whole_lines) == 1:
            return
        self._position += len(whole_lines)
        for line in whole_lines.decode().splitlines():
            kind, _, what = line.partition(" ")
            match kind:
                case "asked":
                    self._ask(what)
                case "flushed":
                    self._flushed.add(what)
                case "begin":
                    self._begun.add(what)
                    self._open_phases[what] += 1
                case _:
                    self._open_phases[what] -= 1

    def end_run(self, *, killed: bool) -> None:
        """The job that noted so far is gone."""
        if killed:
            number = len(self._toll.kills)
            open_phases = tuple(phase for phase in PHASES[1:] if self._open_phases[phase] > 0)
            unflushed = self._asked_now - self._flushed
            self._toll.kills.append(Kill(open_phases, len(unflushed)))
            self._asked_by |= dict.fromkeys(self._asked_now, number)
        self._open_phases.clear()
        self._begun.clear()
        self._asked_now.clear()

    def check(self, needed: int) -> None:
        """After a round: every needed request was asked, and none again that had been flushed."""
        self._toll.lost += needed - (self._num_asked - self._num_repeated)
        self._num_asked = self._num_repeated = 0

    def _ask(self, key: str) -> None:
        self._num_asked += 1
        if key in self._asked_by or key in self._asked_now:
            self._num_repeated += 1
            self._toll.flushed_work_repeated += key in self._flushed
            if (killed_run := self._asked_by.get(key)) is not None:
                self._toll.kills[killed_run].recomputed += 1
        self._asked_now.add(key)

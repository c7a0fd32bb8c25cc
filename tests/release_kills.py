"""Kills nightly jobs at every kind of write while readers read, and checks what everybody saw.

A shop changes all of its titles every night. The job that follows is killed several times, at a write that is
drawn, before it may end. Readers in processes of their own open releases all the while.
"""

import multiprocessing
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final, get_args

from release_job import Death, Moment, work
from release_readers import night_of, watch

from featurestore.reader import open_store
from featurestore.releases.verify import verify
from featurestore.stores import connect

_PRELOADED: Final = ["release_job", "release_readers", "lancedb", "lance"]
_NIGHTS_PER_SHOP: Final = 12
_KILLS_PER_NIGHT: Final = 3
_READERS: Final = 2
_LONGEST_WRITE: Final = 0.02
_PATIENCE: Final = 120.0


@dataclass(slots=True)
class ReleaseToll:
    """What the kills of nightly jobs have led to. All but ``kills`` and ``readings`` must stay empty.

    Attributes:
        kills: Write and moment → jobs that were killed there.
        readings: Releases that readers opened, and found whole.
        mixed: What a reader found wrong.
        unclean: What a job or a store that was left had wrong with it.
    """

    kills: Counter[tuple[str, Moment]] = field(default_factory=Counter[tuple[str, Moment]])
    readings: int = 0
    mixed: list[str] = field(default_factory=list[str])
    unclean: list[str] = field(default_factory=list[str])

    @property
    def num_kills(self) -> int:
        """Jobs killed."""
        return self.kills.total()


def kill_nights(folder: Path, seed: int, num_kills: int) -> Iterator[ReleaseToll]:
    """Kill nightly jobs until there were enough kills.

    Args:
        folder: Empty; gets one shop after the other.
        seed: Draws at which writes to kill, and what readers open.
        num_kills: How many jobs to kill.

    Yields:
        The toll so far, after every night; the last one is complete.
    """
    draw, toll = random.Random(seed), ReleaseToll()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    deaths = _Deaths(draw, _rehearse(context, folder / "rehearsal"))
    number = 0
    while toll.num_kills < num_kills:
        number += 1
        shop = _Shop(folder / f"shop{number}", draw, toll, context)
        for _ in range(_NIGHTS_PER_SHOP):
            shop.night(deaths, min(_KILLS_PER_NIGHT, num_kills - toll.num_kills))
            yield toll
            if toll.num_kills >= num_kills:
                break
        shop.close()
        yield toll


def _rehearse(context: ForkServerContext, folder: Path) -> list[Counter[str]]:
    """What a first night and a later one write when nobody is killed: kind → how often, in order."""
    folder.mkdir(parents=True)
    found: list[Counter[str]] = []
    for night in range(2):
        if _run(context, folder, night, None).exitcode != 0:
            raise RuntimeError("a nightly job fails although nobody kills it")
        found.append(Counter((folder / "writes").read_text().splitlines()))
        (folder / "writes").unlink()
    return found


class _Deaths:
    """Draws when jobs die, so that each kind of write and moment comes up as often as any other."""

    def __init__(self, draw: random.Random, writes: list[Counter[str]]) -> None:
        self._draw, self._writes = draw, writes
        self._due: list[list[tuple[str, Moment]]] = [[], []]

    def of_night(self, night: int, count: int) -> list[Death]:
        """Deaths in the order of the writes: a job that goes on after one has the next one before it."""
        later = min(night, 1)
        writes, due = self._writes[later], self._due[later]
        if len(due) < count:
            fresh = [(write, moment) for write in writes for moment in get_args(Moment)]
            due += self._draw.sample(fresh, len(fresh))
        order = {write: place for place, write in enumerate(writes)}
        drawn = sorted((due.pop(0) for _ in range(count)), key=lambda pair: order[pair[0]])
        # How many of a kind are left to a job that goes on is not known, but the first one often is.
        numbers = [self._draw.randint(1, writes[drawn[0][0]]), *(1 for _ in drawn[1:])]
        return [
            Death(write, number, moment, self._draw.uniform(0.0, _LONGEST_WRITE))
            for (write, moment), number in zip(drawn, numbers, strict=True)
        ]


class _Shop:
    """A store of a shop, and the readers of its releases."""

    def __init__(
        self, folder: Path, draw: random.Random, toll: ReleaseToll, context: ForkServerContext
    ) -> None:
        folder.mkdir(parents=True)
        self._folder, self._toll, self._context = folder, toll, context
        self._night = -1
        self._readers = [
            context.Process(target=watch, args=(str(folder), draw.randrange(2**31))) for _ in range(_READERS)
        ]
        for reader in self._readers:
            reader.start()

    def night(self, deaths: _Deaths, num_kills: int) -> None:
        """Change everything, kill the job that follows, then let it end, and look at what is there."""
        self._night += 1
        for death in deaths.of_night(self._night, num_kills):
            if not self._kill(death):
                break
        job = _run(self._context, self._folder, self._night, None)
        if job.exitcode != 0:
            self._toll.unclean.append(f"a job that was not killed ended with {job.exitcode}")
        self._look({self._night})
        damages = verify(connect(str(self._folder / "store"))).damages
        self._toll.unclean += [f"after night {self._night}: {damage}" for damage in damages]
        left = [path for path in self._folder.rglob("*") if path.suffix == ".log" or ".partial-" in path.name]
        self._toll.unclean += [f"{path.name} was left behind" for path in left]

    def close(self) -> None:
        """Send the readers home and count what they saw."""
        (self._folder / "stop").touch()
        for reader in self._readers:
            reader.join(_PATIENCE)
            if reader.exitcode != 0:
                self._toll.unclean.append(f"a reader ended with {reader.exitcode}")
                reader.kill()
        for line in (self._folder / "readings").read_text().splitlines():
            if line.startswith("whole"):
                self._toll.readings += 1
            else:
                self._toll.mixed.append(line)

    def _kill(self, death: Death) -> bool:
        """Start a job that is to die. False if it lives: an earlier one has done all writes of that kind."""
        job = _run(self._context, self._folder, self._night, death)
        if job.exitcode == -signal.SIGKILL:
            self._toll.kills[death.write, death.moment] += 1
        elif job.exitcode != 0:
            self._toll.unclean.append(f"a job that was to die at {death} ended with {job.exitcode}")
        self._look({self._night - 1, self._night})
        return job.exitcode != 0

    def _look(self, allowed: set[int]) -> None:
        """Production is of one of these nights. Before the first night has ended there may be none."""
        store = open_store(str(self._folder / "store"))
        if -1 in allowed and not store.aliases():
            return
        try:
            night = night_of(store.release())
        except Exception as error:  # noqa: BLE001 whatever is wrong is what the test is about
            self._toll.mixed.append(f"after a kill in night {self._night}: {error}")
            return
        if night not in allowed:
            self._toll.mixed.append(f"production is of night {night}, expected {sorted(allowed)}")


def _run(context: ForkServerContext, folder: Path, night: int, death: Death | None) -> ForkServerProcess:
    job = context.Process(target=work, args=(str(folder), night, death))
    job.start()
    job.join(_PATIENCE)
    if job.is_alive():
        job.terminate()
        job.join()
    return job

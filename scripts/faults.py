"""`make faults`: kill jobs a thousand times each, generating and publishing; write docs/results/faults.md."""

import argparse
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from kill_harness import PHASES, Kill, Toll, kill_often  # noqa: E402 the harness lives with the tests
from kill_job import CONCURRENCY, LATENCY, MOST_UNFLUSHED, PACE  # noqa: E402
from release_job import Moment  # noqa: E402
from release_kills import ReleaseToll, kill_nights  # noqa: E402

REPORT = ROOT / "docs" / "results" / "faults.md"
_DEFAULT_SEED = 20240229
_REPORT = """# Killed at random

Written by `make faults`: do not edit it by hand. What is promised, and why, is in
[exactly-once.md](../exactly-once.md).

## Generating jobs

{date}, Python {python}, seed {seed}: {num_kills} kills (SIGKILL) in {toll.rounds} rounds, {seconds:.0f} s.

| what | found | allowed |
|---|---:|---:|
| rows lost | {toll.lost} | 0 |
| rows or cached answers doubled | {toll.doubled} | 0 |
| requests repeated although their row had been flushed | {toll.flushed_work_repeated} | 0 |
| requests unflushed at a kill, at most | {most_unflushed} | {window} |
| requests repeated for one kill, at most | {toll.worst} | {window} |
| logs or drafts left behind, jobs that failed | {unclean} | 0 |

A round changes 25 of 40 items, kills the job that follows up to four times, lets it end, and checks every row
of its three stages. One flush window is {window} requests here: {in_flight} in flight, and what the engine
can answer between two flushes ({flush_ms:.0f} ms apart; an answer takes {answer_ms:.0f} ms at least).

| killed during | kills | requests repeated, mean | at most |
|---|---:|---:|---:|"""
_NIGHTLY = "\n## Nightly jobs"
_RELEASES = """
## Nightly jobs, with readers reading all the while

Seed {seed}: {toll.num_kills} kills (SIGKILL) of refresh, publish, promote and gc, {seconds:.0f} s. Every
night all titles change. Two readers open releases again and again, and check that titles, texts, vectors and
graph are of one night and made of each other.

| what | found | allowed |
|---|---:|---:|
| releases opened and found whole | {toll.readings:,} | |
| releases mixed, incomplete or unreadable | {mixed} | 0 |
| jobs that failed, damage that `verify` found, files left behind | {unclean} | 0 |

| killed at | before | during | after |
|---|---:|---:|---:|"""


def render(toll: Toll, *, seed: int, seconds: float) -> str:
    """The report."""
    report = _REPORT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        python=platform.python_version(),
        seed=seed,
        seconds=seconds,
        num_kills=len(toll.kills),
        toll=toll,
        unclean=len(toll.unclean),
        most_unflushed=_most(toll.kills),
        window=MOST_UNFLUSHED,
        in_flight=CONCURRENCY,
        flush_ms=PACE.flush_seconds * 1000,
        answer_ms=LATENCY * 500,
    )
    lines = [report, *_by_phase(toll), "", *(f"* {complaint}" for complaint in toll.unclean[:20])]
    return "\n".join(lines).rstrip() + "\n"


def _by_phase(toll: Toll) -> Iterator[str]:
    by_phase: dict[str, list[Kill]] = defaultdict(list)
    for kill in toll.kills:
        for phase in kill.phases or ("run",):
            by_phase[phase].append(kill)
    names = {phase: phase for phase in PHASES} | {"run": "planning and asking", "cache": "cache flush"}
    for phase in PHASES:
        repeated = [kill.recomputed for kill in by_phase[phase]] or [0]
        mean = sum(repeated) / len(repeated)
        yield f"| {names[phase]} | {len(by_phase[phase])} | {mean:.1f} | {max(repeated)} |"


def render_releases(toll: ReleaseToll, *, seed: int, seconds: float) -> str:
    """The report's part on nightly jobs."""
    report = _RELEASES.format(
        seed=seed, seconds=seconds, toll=toll, mixed=len(toll.mixed), unclean=len(toll.unclean)
    )
    by_write: dict[str, dict[str, int]] = defaultdict(dict)
    for (write, moment), count in sorted(toll.kills.items()):
        by_write[write][moment] = count
    rows = [
        f"| {write} | {' | '.join(str(counts.get(moment, 0)) for moment in get_args(Moment))} |"
        for write, counts in by_write.items()
    ]
    complaints = [f"* {complaint}" for complaint in (*toll.mixed, *toll.unclean)[:20]]
    return "\n".join([report, *rows, "", *complaints]).rstrip() + "\n"


def main() -> None:
    """Run the kills, say how it goes, write the report. Exit code 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="of each of the two kinds of jobs")
    parser.add_argument("--seed", type=int, default=_DEFAULT_SEED)
    parser.add_argument("--nightly-only", action="store_true", help="keep what the report says of generating")
    options = parser.parse_args()
    faults, report = 0, REPORT.read_text("utf-8").partition(_NIGHTLY)[0]
    if not options.nightly_only:
        toll, report = _kill_generating(options.kills, options.seed)
        faults += toll.lost + toll.doubled + toll.flushed_work_repeated + len(toll.unclean)
        faults += _most(toll.kills) > MOST_UNFLUSHED
    released, more = _kill_nightly(options.kills, options.seed)
    faults += len(released.mixed) + len(released.unclean)
    REPORT.write_text(report + more, "utf-8")
    print(f"wrote {REPORT}")
    sys.exit(1 if faults else 0)


def _kill_generating(num_kills: int, seed: int) -> tuple[Toll, str]:
    started, toll = time.monotonic(), Toll()
    with tempfile.TemporaryDirectory() as folder:
        for toll in kill_often(Path(folder), seed, num_kills):
            state = f"lost {toll.lost}, doubled {toll.doubled}, worst repeat {toll.worst}"
            print(f"\r{len(toll.kills)} of {num_kills} kills: {state}", end="", flush=True)
    print()
    return toll, render(toll, seed=seed, seconds=time.monotonic() - started)


def _kill_nightly(num_kills: int, seed: int) -> tuple[ReleaseToll, str]:
    started, toll = time.monotonic(), ReleaseToll()
    with tempfile.TemporaryDirectory() as folder:
        for toll in kill_nights(Path(folder), seed, num_kills):
            state = f"mixed {len(toll.mixed)}, unclean {len(toll.unclean)}"
            print(f"\r{toll.num_kills} of {num_kills} nightly kills: {state}", end="", flush=True)
    print()
    return toll, render_releases(toll, seed=seed, seconds=time.monotonic() - started)


def _most(kills: list[Kill]) -> int:
    return max((kill.unflushed for kill in kills), default=0)


if __name__ == "__main__":
    main()

"""Compute what the documents of docs/results still lack, and write them anew.

    python scripts/results.py --list
    python scripts/results.py --study core --only 'colakg-lastfm/*' --minutes 60 --workers 2

A run's record is current while the code that it reaches, its settings and its data are as they were; other
runs are due. What is due is computed in the order in which it tells most. A stopped run goes on from its
checkpoint. The data sets are prepared under .cache/results, which takes minutes for texts.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from scripts.study.command_line import add_data_option, exit_code, new_parser
from scripts.study.datasets import CACHE, SLICE, data_digest, find_dataset, prepare
from scripts.study.queue import DUE, chosen, standings
from scripts.study.records import Records
from scripts.study.runs import Run
from scripts.study.session_slice import write_slice
from scripts.study.studies import STUDIES, declared, minimum, write
from scripts.study.work import Limits, end_on_signals, work


@cache
def folder_of(dataset: str, data: Path) -> Path:
    """The folder that holds a data set's own: the evaluation data, or what is written from it first."""
    return write_slice(data, CACHE / "sources") if dataset == SLICE.name else data


def digests(runs: Sequence[Run], data: Path) -> dict[str, str]:
    """Data set → digest of its files."""
    names = dict.fromkeys(run.dataset for run in runs)
    return {name: data_digest(find_dataset(name), folder_of(name, data)) for name in names}


def show(runs: Sequence[Run], data: Path) -> None:
    """Print how runs stand, one a line."""
    least = {run.name for run in minimum()}
    for standing in standings(runs, Records(), digests(runs, data)):
        part = "minimum" if standing.run.name in least else "queue"
        print(f"{standing.state:9} {part:8} {standing.run.name}")


def compute(runs: Sequence[Run], options: argparse.Namespace) -> int:
    """Prepare the data sets of what is due, then compute it; returns the exit code."""
    deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    data = digests(runs, options.data)
    due = [s.run for s in standings(runs, Records(), data) if s.state in DUE]
    for name in dict.fromkeys(run.dataset for run in due):
        prepare(find_dataset(name), folder_of(name, options.data))
    num_failed = work(due, data, Limits(options.threads, deadline), options.workers)
    return 1 if num_failed else 0


def main() -> int:
    """Parse options, run."""
    parser = new_parser(__doc__)
    parser.add_argument("--list", action="store_true", help="show how every run stands, and compute nothing")
    parser.add_argument(
        "--study", action="append", choices=list(STUDIES), help="runs of this document; may be repeated"
    )
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="runs; may be repeated")
    parser.add_argument("--minimum", action="store_true", help="leave the queue out")
    parser.add_argument("--minutes", type=float, help="stop after this long; the rest goes on later")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with --threads")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch in each process")
    parser.add_argument("--render-only", action="store_true", help="write the documents from the records")
    add_data_option(parser)
    options = parser.parse_args()
    names = options.study or list(STUDIES)
    runs = chosen(minimum(names) if options.minimum else declared(names), options.only)
    if options.render_only:
        write(Records())
        return 0
    end_on_signals()
    if options.list:
        return exit_code(lambda: show(runs, options.data))
    code = exit_code(lambda: compute(runs, options))
    write(Records())
    return code


if __name__ == "__main__":
    sys.exit(main())

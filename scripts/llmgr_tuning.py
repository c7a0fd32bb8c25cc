"""Tune LLMGR's decoder on Beauty, and export what the study's small models learn from.

    python scripts/llmgr_tuning.py --list
    python scripts/llmgr_tuning.py --only two-stages --minutes 25 --prefixes 1000 --taught 4000

Stage 1 learns from as many titles as fit in --minutes of processor time, by a pace that is measured first;
stage 2 from --prefixes; --taught sessions get a list of the tuned decoder. A stopped tuning goes on when it
is called again with the same options. Records lie in docs/results/llmgr, vectors and lists in
.cache/llmgr/exports: runs of the form ``tuned`` in `scripts/results.py --study llmgr` read them. A tuning
that has a record of this data is passed by, unless --again.
"""

import argparse
import sys
import time
from fnmatch import fnmatchcase
from typing import Final

import torch

from featurestore.errors import UnknownNameError
from recommender.training.allocator import keep_freed_memory
from scripts.study.command_line import add_data_option, exit_code, new_parser
from scripts.study.datasets import data_digest, find_dataset
from scripts.study.llmgr_project import PROJECTS, TuningProject
from scripts.study.llmgr_stages import Extent, tune
from scripts.study.llmgr_tunings import TUNINGS, read_tuning, write_tuning
from scripts.study.project_copy import copied_project
from scripts.study.records import Records
from scripts.study.studies import write
from scripts.study.work import end_on_signals

_DATASET: Final = "amazon14-beauty"
_SECONDS_BETWEEN_LINES: Final = 30.0


class Line:
    """Prints progress, twice a minute at most, and the end of everything."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See `featurestore.progress.Progress`."""
        now = time.monotonic()
        if done >= total or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            print(f"{now - self._started:.0f} s: {done:,} of {total:,} {note}", flush=True)


def work(options: argparse.Namespace) -> None:
    """List tunings, or compute those that are due."""
    patterns: list[str] = options.only
    wanted = [t for t in TUNINGS if not patterns or any(fnmatchcase(t.name, p) for p in patterns)]
    if not wanted:
        raise UnknownNameError("tuning", " ".join(patterns), [tuning.name for tuning in TUNINGS])
    dataset = find_dataset(_DATASET)
    data = data_digest(dataset, options.data)
    extent = Extent(options.minutes, options.prefixes, options.taught, options.seed)
    for tuning in wanted:
        record = read_tuning(tuning.name)
        is_done = record is not None and record.data == data
        if options.list:
            print(f"{'current' if is_done else 'due':8} {tuning.name:16} {tuning.why}")
        elif not is_done or options.again:
            project = TuningProject(dataset, data, copied_project(PROJECTS, dataset, options.data), Line())
            write_tuning(tune(project, tuning, extent))
            write(Records())


def main() -> int:
    """Parse options, run."""
    parser = new_parser(__doc__)
    parser.add_argument("--list", action="store_true", help="show how tunings stand, and compute nothing")
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="tunings; may be repeated"
    )
    parser.add_argument("--minutes", type=float, default=25.0, help="processor time of stage 1's steps")
    parser.add_argument("--prefixes", type=int, default=1000, help="sessions that stage 2 learns from")
    parser.add_argument("--taught", type=int, default=4000, help="sessions that get a list")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--again", action="store_true", help="tunings that have a record, too")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    end_on_signals()
    return exit_code(lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())

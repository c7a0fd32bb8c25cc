"""Train runs of ISRF's generative form, write their records, and lists of all users into a store.

    python scripts/generative.py --list
    python scripts/generative.py --only 'amazon14-beauty/isrf' --minutes 40
    python scripts/generative.py --only 'amazon14-beauty/isrf' --lists 10

Records lie in docs/results/generative; a run that has one is passed by, unless --again. A stopped run goes on
from its checkpoint; --minutes ends the training of each run, all its processes together, and measures what is
there. Data sets are prepared under .cache/results as for the other studies, then copied to .cache/generative,
where their items get semantic ids. --lists writes the best items of all users into that copy's store
instead of a record: run it again after a kill, and it goes on.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import torch

from featurestore.errors import FeatureStoreError, SetupError
from featurestore.stores import connect
from recommender.allocator import keep_freed_memory
from recommender.generative.job import write_lists
from scripts.study.datasets import ROOT, Dataset, data_digest, find_dataset, prepare
from scripts.study.generative import PROJECTS, World, fitted, lists_now, measure, settings_of
from scripts.study.generative_records import GenerativeRun, path_of, runs, write
from scripts.study.work import end_on_signals

_DATA: Final = ROOT / "shared" / "data"


def prepared(dataset: Dataset, data: Path) -> Path:
    """A copy of the data set's project in which items have semantic ids; made if there is none."""
    prepare(dataset, data)
    project = PROJECTS / dataset.name
    if project.exists():
        return project
    scratch = PROJECTS / f".{dataset.name}.{os.getpid()}"
    shutil.copytree(dataset.project, scratch)
    for words in (f"semantic-ids --feature {dataset.item_feature}", "publish"):
        command = [sys.executable, "-m", "cli.main", *words.split(), "--project", str(scratch), "--json"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT, check=False)
        if done.returncode:
            raise SetupError(f"`featurestore {words}` for {dataset.name} ended with {done.returncode}.")
    scratch.replace(project)
    return project


class Line:
    """Prints progress.

    Args:
        label: Of the run.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._started = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See `featurestore.progress.Progress`."""
        seconds = time.monotonic() - self._started
        print(f"{self._label}: {done} of {total}, {note}, {seconds:.0f} s", flush=True)


def compute(run: GenerativeRun, world: World, options: argparse.Namespace) -> None:
    """Train a run, then write its record or its lists."""
    extra = dict(pair.split("=", 1) for pair in options.set)
    config = settings_of(run, extra)
    found = fitted(run, world, config, seed=options.seed, minutes=options.minutes, told=Line(run.label))
    if options.lists:
        project = PROJECTS / run.dataset
        done = write_lists(
            connect(str(project / "store")),
            lists_now(found.model, world, options.lists),
            world.release,
            name=run.name,
            model_digest=found.model.digest,
            top_k=options.lists,
            logs=project / ".featurestore" / "logs",
            progress=Line(run.label),
        )
        print(f"{run.label}: {done.num_users:,} lists in {done.table}, {done.seconds:.0f} s", flush=True)
        return
    record = measure(run, world, found, seed=options.seed)
    write(record.model_copy(update={"run": run.model_copy(update={"settings": run.settings | extra})}))
    shown = ", ".join(f"{name} {value:.4f}" for name, value in record.test.items())
    print(f"{run.label}: {shown}; {record.users_per_second:.0f} users/s", flush=True)


def chosen(globs: list[str]) -> Iterator[GenerativeRun]:
    """Runs whose label fits one of some patterns, or all of them."""
    return (run for run in runs() if not globs or any(fnmatch(run.label, glob) for glob in globs))


def main() -> int:
    """Parse options, run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="show runs and whether they have a record")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="runs; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="end the training of each run after this long")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--again", action="store_true", help="runs that have a record, too")
    parser.add_argument("--lists", type=int, metavar="K", help="write lists of K items instead of a record")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FEATURESTORE_DATA", _DATA)))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    end_on_signals()
    worlds: dict[str, World] = {}
    try:
        for run in chosen(options.only):
            has_record = path_of(run, options.seed).exists()
            if options.list:
                print(f"{'current' if has_record else 'due':8} {run.label:34} {run.why}")
            elif not has_record or options.again or options.lists:
                if run.dataset not in worlds:
                    dataset = find_dataset(run.dataset)
                    digest = data_digest(dataset, options.data)
                    worlds[run.dataset] = World.open(dataset, digest, prepared(dataset, options.data))
                compute(run, worlds[run.dataset], options)
    except FeatureStoreError as error:
        sys.exit(f"error: {error.message}" + (f"\n  {error.hint}" if error.hint else ""))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

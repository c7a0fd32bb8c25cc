"""Train runs of ISRF's generative form, write their records, and lists of all users into a store.

    python scripts/generative.py --list
    python scripts/generative.py --only 'amazon14-beauty/isrf' --minutes 40
    python scripts/generative.py --only 'amazon14-beauty/isrf' --set dropout=0.2 --name dropout
    python scripts/generative.py --only 'amazon14-beauty/isrf' --lists 10

Records lie in docs/results/generative; a run whose record is of this code and data is passed by, unless
--again. A stopped run goes on from its checkpoint; --minutes ends the training of each run, all its processes
together, and measures what is there: such a record is `stopped` for who gives other minutes or none, and its
training goes on from there. Data sets are prepared under .cache/results as for the other studies,
then copied to .cache/generative, where their items get semantic ids. --lists writes the best items of all
users into that copy's store instead of a record: run it again after a kill, and it goes on.
"""

import argparse
import sys
import time

import torch

from cli.settings import parse_pairs
from featurestore.errors import UnknownNameError
from featurestore.stores import connect
from recommender.generative.experiment import served_lists
from recommender.generative.fitted import require_length
from recommender.generative.job import write_lists
from recommender.training.allocator import keep_freed_memory
from scripts.study.command_line import add_data_option, exit_code, new_parser
from scripts.study.datasets import data_digest, find_dataset
from scripts.study.generative import fitted, measure, settings_of
from scripts.study.generative_records import state_of, write
from scripts.study.generative_runs import GenerativeRun, changed, chosen, runs
from scripts.study.generative_world import World, prepared
from scripts.study.work import end_on_signals


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
    config, told = settings_of(run), Line(run.label)
    if options.lists is not None:
        require_length(config, options.lists)
    found = fitted(run, world, config, seed=options.seed, minutes=options.minutes, told=told)
    if options.lists is not None:
        done = write_lists(
            connect(str(world.project / "store")),
            served_lists(found.model, world.release, options.lists),
            world.release,
            name=run.name,
            model_digest=found.model.digest,
            top_k=options.lists,
            logs=world.project / ".featurestore" / "logs",
            progress=told,
        )
        print(f"{run.label}: {done.num_users:,} lists in {done.table}, {done.seconds:.0f} s", flush=True)
        return
    record = measure(run, world, found, seed=options.seed)
    write(record)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in record.test.items())
    print(f"{run.label}: {shown}; {record.users_per_second:.0f} users/s", flush=True)


def work(options: argparse.Namespace) -> None:
    """List runs, or compute those that are due."""
    settings, worlds = parse_pairs(options.set), dict[str, World]()
    wanted = [changed(run, settings, options.name) for run in chosen(options.only)]
    if not wanted:
        raise UnknownNameError("run", " ".join(options.only), [run.label for run in runs()])
    digests = {name: data_digest(find_dataset(name), options.data) for name in {r.dataset for r in wanted}}
    for run in wanted:
        dataset, data = find_dataset(run.dataset), digests[run.dataset]
        state = state_of(run, options.seed, data, minutes=options.minutes)
        if options.list:
            print(f"{state:8} {run.label:44} {run.why}")
        elif state != "current" or options.again or options.lists is not None:
            if run.dataset not in worlds:
                worlds[run.dataset] = World.open(dataset, data, prepared(dataset, options.data))
            compute(run, worlds[run.dataset], options)


def main() -> int:
    """Parse options, run."""
    parser = new_parser(__doc__)
    parser.add_argument("--list", action="store_true", help="show how runs stand, and compute nothing")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="runs; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings")
    parser.add_argument("--name", metavar="WORD", help="joins the names of runs that --set changes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="end the training of each run after this long")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--again", action="store_true", help="runs that have a record, too")
    parser.add_argument("--lists", type=int, metavar="K", help="write lists of K items instead of a record")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    end_on_signals()
    return exit_code(lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())

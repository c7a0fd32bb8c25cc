"""Measure a model of sessions by SR-GNN's protocol on Diginetica: every prefix of the test, full ranking.

    python scripts/session_protocol.py srgnn --share 16 --set epochs=10

Trains on the newest 1/share of the training sessions: all of them take a GPU. Nothing is masked. Items that
none of these sessions has are neither ranked nor asked for, so figures of two shares do not compare, nor do
those of a part with published ones.
"""

import sys
import time
from pathlib import Path

import torch

from cli.settings import parse_pairs
from featurestore.errors import UsageError
from recommender.base import ReadsHistories
from recommender.evaluate import evaluate_ranking
from recommender.registry import find_model, parse_settings
from recommender.training.allocator import keep_freed_memory
from scripts.study.command_line import add_data_option, exit_code, new_parser
from scripts.study.session_slice import official_slice


def measure(name: str, settings: dict[str, str], data: Path, share: int) -> None:
    """Train, rank, print.

    Args:
        name: A file in ``recommender/models``.
        settings: Of the model, as text.
        data: Folder of the evaluation data.
        share: The newest 1/share of the training sessions are trained on; at least 1.

    Raises:
        UsageError: If the model reads no histories, or the share is below 1.
        InputError: If the sessions are not there.
    """
    entry = find_model(name)
    model = entry.model_type(parse_settings(entry.config_type, settings))
    if not isinstance(model, ReadsHistories):
        raise UsageError(f"{name} reads no histories.", hint="Take a model of sequences, such as srgnn.")
    if share < 1:
        raise UsageError(
            f"--share {share} is no part of the sessions.", hint="1 is all of them, 16 the newest sixteenth."
        )
    task = official_slice(data, share)
    started = time.monotonic()

    def show(done: int, total: int, note: str = "") -> None:
        print(f"epoch {done} of {total}, {time.monotonic() - started:.0f} s: {note}", flush=True)

    print(
        f"{task.data.num_users:,} training sessions, {task.data.num_items:,} items, "
        f"{len(task.held_out):,} test prefixes ({task.num_left_out:,} test clicks on other items left out)"
    )
    model.fit(task.data, features=None, seed=0, progress=show)
    asked = model.with_histories(task.prefixes)
    means = evaluate_ranking(asked.score, task.held_out, cutoffs=(10, 20)).means()
    names = [f"{metric}@{k}" for k in (10, 20) for metric in ("hr", "mrr", "ndcg")]
    print(name, ", ".join(f"{each} {means[each]:.4f}" for each in names))


def main() -> int:
    """Parse options, run."""
    parser = new_parser(__doc__)
    parser.add_argument("model", help="a model that reads histories")
    parser.add_argument("--share", type=int, default=16, help="train on the newest 1/share of the sessions")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    return exit_code(lambda: measure(options.model, parse_pairs(options.set), options.data, options.share))


if __name__ == "__main__":
    sys.exit(main())

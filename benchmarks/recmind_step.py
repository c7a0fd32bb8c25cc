"""Training step and memory of RecMind beside our LightGCN, on both data sets whose texts large models wrote.

Both with their own defaults: d = 64, 3 layers and batches of 2,048, so an epoch has as many steps. What
RecMind has more: W of all items' vectors, means of these for users, gates in every layer, and the alignment
of 128 pairs of a batch with a queue and hard negatives. Each side runs in a process of its own, under an
allocator that keeps freed memory, as training does.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import common
import torch
from common import Claim, compare, record
from measured_process import MeasuredProcess, memory_claim

DATASETS = ("colakg-lastfm", "agent4rec-ml1m")
PEER = "our LightGCN"
TARGET = 1 / 1.5


def run(data: Path, dataset: str, pairs: int) -> None:
    """Measure and record."""
    file = ("--interactions", data / dataset / "interactions.parquet")
    record(
        f"recmind_step_{dataset}",
        f"{dataset} train part, models' own settings (d 64, 3 layers, batch 2,048), random vectors of items, "
        "tuned allocator; alternating pairs of one epoch each",
        [
            *_claims("RecMind", file, pairs),
            *_claims("RecMind without alignment", file, pairs, "--no-alignment"),
        ],
        packages=("torch",),
        facts={"torch threads": torch.get_num_threads()},
    )


def _claims(name: str, file: tuple[object, ...], pairs: int, *options: str) -> Iterator[Claim]:
    with (
        MeasuredProcess("our_recmind.py", *file, *options, allocator="tuned") as ours,
        MeasuredProcess("our_hgpo.py", *file, "--backbone", "lightgcn", allocator="tuned") as theirs,
    ):
        yield compare(
            f"{name}, step",
            peer=PEER,
            unit="ms/step",
            ours=lambda: _milliseconds(ours),
            theirs=lambda: _milliseconds(theirs),
            higher_is_better=False,
            pairs=pairs,
            target=TARGET,
        )
        yield replace(memory_claim(f"{name}, training", peer=PEER, ours=ours, theirs=theirs), target=TARGET)


def _milliseconds(side: MeasuredProcess) -> float:
    answer = side.measure()
    return 1000 * answer["seconds"] / answer["steps"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--records", type=Path, default=common.RECORDS, help="Folder of the JSON record.")
    options = parser.parse_args()
    common.RECORDS = options.records
    for name in options.datasets:
        run(options.data.resolve(), name, options.pairs)

"""Training step and memory of ISRF's direct task on amazon14-beauty beside our LightGCN.

Both have d = 64, 3 layers and batches of 2,048, so an epoch has as many steps; what ISRF has more is the
adapter of items' texts, the graph of users with 100 neighbours each, and the loss that aligns the two. Each
side runs in a process of its own, under an allocator that keeps freed memory, as training does.
"""

import argparse
from pathlib import Path

import common
import torch
from common import compare, record
from measured_process import MeasuredProcess, memory_claim

PEER = "our LightGCN"
TARGET = 1 / 1.5


def run(data: Path, pairs: int) -> None:
    """Measure and record."""
    with (
        MeasuredProcess("our_isrf.py", "--data", data, allocator="tuned") as ours,
        MeasuredProcess("our_lightgcn.py", "--data", data, allocator="tuned") as theirs,
    ):
        step = compare(
            "ISRF step",
            peer=PEER,
            unit="ms/step",
            ours=lambda: _milliseconds(ours),
            theirs=lambda: _milliseconds(theirs, work="epoch"),
            higher_is_better=False,
            pairs=pairs,
            target=TARGET,
        )
        memory = memory_claim("ISRF training", peer=PEER, ours=ours, theirs=theirs)
    record(
        "isrf_step",
        "amazon14-beauty train part, direct task, d 64, 3 layers, batch 2,048, 100 neighbours of a user, "
        "random vectors of items, tuned allocator; alternating pairs of one epoch each",
        [step, memory],
        packages=("torch",),
        facts={"torch threads": torch.get_num_threads()},
    )


def _milliseconds(side: MeasuredProcess, **request: object) -> float:
    answer = side.measure(**request)
    return 1000 * answer["seconds"] / answer["steps"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--records", type=Path, default=common.RECORDS, help="Folder of the JSON record.")
    options = parser.parse_args()
    common.RECORDS = options.records
    run(options.data.resolve(), options.pairs)

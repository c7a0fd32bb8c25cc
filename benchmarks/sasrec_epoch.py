"""A training epoch of SASRec with a softmax over all items, amazon14-beauty, against RecBole.

Both have two blocks of width 64, two heads, a feed-forward net of 256 and dropout 0.5, but not of attention
weights, and predict 2,048 events a step. RecBole pads every prefix of every history to the full length and
predicts what follows it; we read a history once and predict at each of its events, its newest ``length`` at
most: the record says how many events both predict, and quotes the time of one. The peer's epoch is
extrapolated from its first batches, all of which have the same shape.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import common
import torch
from beauty import read_events, write_atomic_file
from common import Claim, compare, record
from measured_process import ALLOCATORS, MeasuredProcess, memory_claim
from peer_environment import recbole_python

PEER_BATCH_SIZE = 2048
PEER = "RecBole, anomaly detection off"


@dataclass(frozen=True, slots=True)
class _Setup:
    """What all lengths share; ``folder`` holds the peer's copy of the data."""

    data: Path
    folder: Path
    allocator: str
    pairs: int
    batches: int


def run(data: Path, lengths: list[int], allocator: str, pairs: int, batches: int) -> None:
    """Measure and record."""
    events = read_events(data)
    claims: list[Claim] = []
    predicted: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_atomic_file(events, Path(folder))
        setup = _Setup(data, Path(folder), allocator, pairs, batches)
        for length in lengths:
            found, predicted[length] = _compare(setup, length)
            claims += found
    record(
        "sasrec_epoch",
        f"amazon14-beauty train part, d 64, 2 blocks, softmax over {events.num_items:,} items, {allocator} "
        f"allocator; one epoch of ours against {batches} batches of the peer, alternating pairs",
        claims,
        packages=("torch",),
        facts={
            "torch threads": torch.get_num_threads(),
            "events predicted in an epoch, by length": predicted,
            "RecBole": "1.2.1",
        },
    )


def _compare(setup: _Setup, length: int) -> tuple[list[Claim], str]:
    """Claims of one length, and how many events both sides predict in an epoch."""
    events: dict[str, int] = {}

    def our_epoch() -> float:
        answer = ours.measure()
        events["ours"] = answer["targets"]
        return answer["seconds"]

    def their_epoch() -> float:
        answer = theirs.measure(work="epoch", batches=setup.batches)
        events["theirs"] = answer["samples_per_epoch"]
        return answer["seconds"] * answer["samples_per_epoch"] / (setup.batches * PEER_BATCH_SIZE)

    our_side = "our_sasrec.py", "--data", setup.data, "--length", length
    their_side = "recbole_side.py", "SASRec", "--data", setup.folder, "--length", length
    with (
        MeasuredProcess(*our_side, allocator=setup.allocator) as ours,
        MeasuredProcess(*their_side, allocator=setup.allocator, python=recbole_python()) as theirs,
    ):
        epoch = compare(
            f"SASRec epoch, length {length}",
            peer=PEER,
            unit="s",
            ours=our_epoch,
            theirs=their_epoch,
            higher_is_better=False,
            pairs=setup.pairs,
            target=4.0,
        )
        memory = memory_claim(f"SASRec training, length {length}", peer=PEER, ours=ours, theirs=theirs)
    claims = [epoch, _per_event(epoch, length, events), memory]
    return claims, f"{events['ours']:,} (the peer's {events['theirs']:,})"


def _per_event(epoch: Claim, length: int, events: dict[str, int]) -> Claim:
    """The same measurement, divided by the events that each side predicts."""
    factor = events["ours"] / events["theirs"]
    return Claim(
        name=f"SASRec, one predicted event, length {length}",
        peer=PEER,
        unit="µs",
        ours=1e6 * epoch.ours / events["ours"],
        theirs=1e6 * epoch.theirs / events["theirs"],
        ratio=epoch.ratio * factor,
        ratios=tuple(ratio * factor for ratio in epoch.ratios),
        target=None,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 20])
    parser.add_argument("--allocator", choices=[*ALLOCATORS], default="tuned")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--batches", type=int, default=8, help="Batches of the peer in one measurement.")
    parser.add_argument("--records", type=Path, default=common.RECORDS, help="Folder of the JSON record.")
    options = parser.parse_args()
    common.RECORDS = options.records
    run(options.data.resolve(), options.lengths, options.allocator, options.pairs, options.batches)

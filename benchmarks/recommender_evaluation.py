"""Full ranking of the test part of amazon14-beauty against RecBole and against a bare product with top-k.

All sides rank 12,101 items for 22,363 users from the same ready vectors. RecBole and the bare product get the
batch size at which each is fastest here. RecBole and we mask training and validation items and compute HR,
Recall and NDCG at 5, 10 and 20, which must agree; the bare product finds 20 items of each user and computes
nothing, and is quoted with the mask as well.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import common
import torch
from beauty import read_events, write_atomic_file
from common import Claim, compare, record
from measured_process import ALLOCATORS, SIDES, MeasuredProcess, memory_claim
from peer_environment import recbole_python

BATCH_SIZES = (64, 128, 256, 512, 1024)
TOLERANCE = 1e-5
_BARE = "bare product and top-k"


def run(data: Path, allocator: str, pairs: int, batch_sizes: list[int]) -> None:
    """Measure and record."""
    events = read_events(data)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_atomic_file(events, folder)
        write = [sys.executable, SIDES / "our_ranking.py", "--data", data, "--write", folder]
        subprocess.run(write, check=True, env=os.environ | {"PYTHONPATH": str(SIDES.parent)})
        sides = _Sides(data, folder, allocator)
        ours, recbole = (stack.enter_context(side()) for side in (sides.ours, sides.recbole))
        difference = _largest_difference(ours, recbole, batch_sizes[0])
        if difference > TOLERANCE:
            sys.exit(f"metrics of the two sides differ by {difference:.2g}: they do not rank the same")
        comparison = _Comparison(ours, pairs, batch_sizes)
        claims = list(_claims(comparison, sides, recbole, stack.enter_context(sides.ours())))
    record(
        "recommender_evaluation",
        f"amazon14-beauty test part, {events.num_users:,} users, {events.num_items:,} items, d 64, "
        f"float32, vectors ready, {allocator} allocator; alternating pairs",
        claims,
        packages=("torch",),
        facts={
            "torch threads": torch.get_num_threads(),
            "users per batch, the fastest": comparison.best,
            "largest difference of a metric": difference,
            "RecBole": "1.2.1",
        },
    )


@dataclass(frozen=True, slots=True)
class _Sides:
    """Processes that have read the same vectors."""

    data: Path
    folder: Path
    allocator: str

    def ours(self) -> MeasuredProcess:
        arguments = "--data", self.data, "--vectors", self.folder
        return MeasuredProcess("our_ranking.py", *arguments, allocator=self.allocator)

    def recbole(self) -> MeasuredProcess:
        arguments = "LightGCN", "--data", self.folder
        side = MeasuredProcess(
            "recbole_side.py", *arguments, allocator=self.allocator, python=recbole_python()
        )
        side.measure(work="use_vectors", folder=str(self.folder))
        return side


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Our ranking, to be compared with several peers."""

    ours: MeasuredProcess
    pairs: int
    batch_sizes: list[int]
    best: dict[str, int] = field(default_factory=dict[str, int])
    """Users per batch at which each peer was fastest."""

    def against(self, peer: str, theirs: Callable[..., dict[str, Any]], target: float | None) -> Claim:
        rates = {size: _users_per_second(theirs(users_per_batch=size)) for size in self.batch_sizes}
        size = self.best[peer] = max(rates, key=rates.__getitem__)
        return compare(
            "full ranking",
            peer=peer,
            unit="users/s",
            ours=lambda: _users_per_second(self.ours.measure(work="rank")),
            theirs=lambda: _users_per_second(theirs(users_per_batch=size)),
            higher_is_better=True,
            pairs=self.pairs,
            target=target,
        )


def _claims(
    comparison: _Comparison, sides: _Sides, recbole: MeasuredProcess, bare: MeasuredProcess
) -> Iterator[Claim]:
    yield comparison.against("RecBole", partial(recbole.measure, work="rank"), 1.3)
    yield _memory(comparison, "RecBole", sides.ours, sides.recbole, work="rank")
    for peer, masked, target in ((_BARE, False, 0.9), ("bare product, mask and top-k", True, None)):
        asked = {"work": "bare", "masked": masked}
        yield comparison.against(peer, partial(bare.measure, **asked), target)
        yield _memory(comparison, peer, sides.ours, sides.ours, **asked)


def _memory(
    comparison: _Comparison,
    peer: str,
    start_ours: Callable[[], MeasuredProcess],
    start_theirs: Callable[[], MeasuredProcess],
    **asked: object,
) -> Claim:
    """Peaks of fresh processes: the peer's has seen no batch but the one that it is fastest with."""
    with start_ours() as ours, start_theirs() as theirs:
        ours.measure(work="rank")
        theirs.measure(**asked, users_per_batch=comparison.best[peer])
        return memory_claim("full ranking", peer=peer, ours=ours, theirs=theirs)


def _users_per_second(answer: dict[str, Any]) -> float:
    return answer["users"] / answer["seconds"]


def _largest_difference(ours: MeasuredProcess, recbole: MeasuredProcess, size: int) -> float:
    mine = ours.measure(work="rank")["metrics"]
    others = recbole.measure(work="rank", users_per_batch=size)["metrics"]
    return max(abs(mine[name.replace("hit", "hr")] - value) for name, value in others.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--allocator", choices=[*ALLOCATORS], default="tuned")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--records", type=Path, default=common.RECORDS, help="Folder of the JSON record.")
    options = parser.parse_args()
    common.RECORDS = options.records
    run(options.data.resolve(), options.allocator, options.pairs, list(options.batch_sizes))

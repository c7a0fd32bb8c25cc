"""LightGCN training step on amazon14-beauty against RecBole and PyG, and against the floors of its parts.

A step is a batch and its negatives, forward, BPR + L2, backward and Adam, d = 64, 3 layers, batch 2,048,
float32. Each side runs in a process of its own with the same allocator setting: the default one, and one
under which freed memory is not handed back to the system. RecBole and we train whole epochs through the call
that users make; PyG has no training loop, so it gets a plain one, with its own loss and fused Adam.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import common
import torch
from beauty import read_events, write_atomic_file
from common import Claim, compare, record
from measured_process import ALLOCATORS, MeasuredProcess, memory_claim
from peer_environment import recbole_python

CSR_STEPS, EDGE_INDEX_STEPS = 38, 8
SHARE_TARGET = 0.6
FLOORS = {"operands in the cache": 1, "operands not in the cache": 8}
"""How parts are measured → sets of operands that they take turns on, of 9 MB; Adam's of 35 MB."""


def run(data: Path, allocator: str, pairs: int) -> None:
    """Measure and record under one allocator setting."""
    events = read_events(data)
    facts: dict[str, object] = {"torch threads": torch.get_num_threads()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_atomic_file(events, folder)
        ours = stack.enter_context(MeasuredProcess("our_lightgcn.py", "--data", data, allocator=allocator))
        claims = list(_against_recbole(ours, folder, allocator, pairs))
        for form, name, steps, target in [
            ("csr", "PyG, sparse CSR adjacency", CSR_STEPS, 3.0),
            ("edge_index", "PyG, edge index", EDGE_INDEX_STEPS, None),
        ]:
            with MeasuredProcess("pyg_lightgcn.py", form, "--data", data, allocator=allocator) as theirs:
                claims.append(
                    _step_claim(ours, theirs, name, request={"steps": steps}, pairs=pairs, target=target)
                )
                claims.append(memory_claim("LightGCN training", peer=name, ours=ours, theirs=theirs))
        parts: dict[str, dict[str, float]] = {}
        for where, copies in FLOORS.items():
            share, parts[where] = _share_of_floors(ours, where, copies, pairs)
            claims.append(share)
        sampling = round(_milliseconds(ours, work="sampling"), 2)
    record(
        f"lightgcn_step_{allocator}",
        f"amazon14-beauty train part, {events.num_users + events.num_items:,} nodes, "
        f"{len(events.part('train')[0]):,} pairs, d 64, 3 layers, batch 2,048, {allocator} allocator; "
        f"alternating pairs: RecBole and we an epoch each, PyG {CSR_STEPS} steps, with an edge index "
        f"{EDGE_INDEX_STEPS}",
        claims,
        packages=("torch", "torch_geometric"),
        facts=facts
        | {"floors of the parts, ms": parts, "sampling, not counted, ms": sampling, "RecBole": "1.2.1"},
    )


def _against_recbole(ours: MeasuredProcess, folder: Path, allocator: str, pairs: int) -> Iterator[Claim]:
    side = "recbole_side.py", "LightGCN", "--data", folder
    with MeasuredProcess(*side, allocator=allocator, python=recbole_python()) as theirs:
        yield _step_claim(ours, theirs, "RecBole", request={"work": "epoch"}, pairs=pairs, target=6.0)
        yield memory_claim("LightGCN training", peer="RecBole", ours=ours, theirs=theirs)


def _step_claim(
    ours: MeasuredProcess,
    theirs: MeasuredProcess,
    peer: str,
    *,
    request: dict[str, object],
    pairs: int,
    target: float | None,
) -> Claim:
    return compare(
        "LightGCN step",
        peer=peer,
        unit="ms/step",
        ours=lambda: _milliseconds(ours, work="epoch"),
        theirs=lambda: _milliseconds(theirs, **request),
        higher_is_better=False,
        pairs=pairs,
        target=target,
    )


def _share_of_floors(
    ours: MeasuredProcess, where: str, copies: int, pairs: int
) -> tuple[Claim, dict[str, float]]:
    """The sum of the parts alone, without sampling, as a share of a step; and the last parts measured."""
    parts: dict[str, float] = {}

    def floors() -> float:
        parts.update(ours.measure(work="parts", copies=copies)["parts"])
        return sum(parts.values())

    claim = compare(
        "LightGCN step, share of its time that its parts need alone",
        peer=f"sparse products, gathers, loss and Adam, each alone, {where}",
        unit="ms/step",
        ours=lambda: _milliseconds(ours, work="epoch"),
        theirs=floors,
        higher_is_better=False,
        pairs=pairs,
        target=SHARE_TARGET,
    )
    return claim, {name: round(value, 2) for name, value in parts.items()}


def _milliseconds(side: MeasuredProcess, **request: object) -> float:
    answer = side.measure(**request)
    return 1000 * answer["seconds"] / answer["steps"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--allocator", choices=[*ALLOCATORS, "both"], default="both")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--records", type=Path, default=common.RECORDS, help="Folder of the JSON record.")
    options = parser.parse_args()
    common.RECORDS = options.records
    for setting in ALLOCATORS if options.allocator == "both" else [options.allocator]:
        run(options.data.resolve(), setting, options.pairs)

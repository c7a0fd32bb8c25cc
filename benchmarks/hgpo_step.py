"""Training step and memory of LGHRec with HGPO beside contrastive models.

On SGL and XSimGCL the peer is the same backbone alone, so that the difference is all that HGPO brings: two
more views of the graph, its contrast, and the policies. On LightGCN, which has no contrast of its own, the
peer is SGL: one contrast on either side. Nothing reads texts. Each side runs in a process of its own, under
an allocator that keeps freed memory, as training does. Two sizes: colakg-lastfm has 4,672 nodes and
amazon14-beauty 34,464, so that products with the graph weigh less in the one and more in the other.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import common
import torch
from common import Claim, compare, record
from measured_process import MeasuredProcess, memory_claim

DATASETS = ("colakg-lastfm", "amazon14-beauty")
PEERS = {"sgl": "sgl", "xsimgcl": "xsimgcl", "lightgcn": "sgl"}
"""Backbone of LGHRec → the model that it is compared with."""
TARGET = 1 / 1.5


def run(data: Path, dataset: str, pairs: int) -> None:
    """Measure and record."""
    file = data / dataset / "interactions.parquet"
    claims: list[Claim] = []
    added: dict[str, str] = {}
    for backbone in PEERS:
        claims += _claims(file, backbone, pairs, added)
    record(
        f"hgpo_step_{dataset}",
        f"{dataset} train part, models' own settings (d 64, 3 layers, batch 2,048), no texts, tuned "
        "allocator; alternating pairs of one epoch each, cutting of graphs and updates of policies included",
        claims,
        packages=("torch",),
        facts={
            "torch threads": torch.get_num_threads(),
            "MB that training adds, ours and the peer's": "; ".join(f"{n} {mb}" for n, mb in added.items()),
        },
    )


def _claims(file: Path, backbone: str, pairs: int, added: dict[str, str]) -> Iterator[Claim]:
    peer = PEERS[backbone]
    given = ("--interactions", file, "--backbone")
    with (
        MeasuredProcess("our_hgpo.py", *given, backbone, "--hgpo", allocator="tuned") as ours,
        MeasuredProcess("our_hgpo.py", *given, peer, allocator="tuned") as theirs,
    ):
        named = f"`lghrec` on `{backbone}`"
        yield compare(
            f"step of {named}",
            peer=f"`{peer}` alone",
            unit="ms/step",
            ours=lambda: _milliseconds(ours),
            theirs=lambda: _milliseconds(theirs),
            higher_is_better=False,
            pairs=pairs,
            target=TARGET,
        )
        memory = memory_claim(f"training {named}", peer=f"`{peer}` alone", ours=ours, theirs=theirs)
        yield replace(memory, target=TARGET)
        added[backbone] = " and ".join(f"{side.peak_mb - side.ready_mb:.0f}" for side in (ours, theirs))


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

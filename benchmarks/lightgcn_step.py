"""LightGCN training step on amazon14-beauty against PyG's LightGCN.

A step is negatives, forward, BPR + L2, backward and Adam, d = 64, 3 layers, batch 2,048, float32, on the
same pairs. PyG runs in both of its documented forms: an edge index, and a sparse CSR adjacency that is
normalised once. Both sides run in one process with the same allocator setting; ``--allocator tuned`` quotes
the setting under which freed memory is not handed back to the system.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import torch
from common import Claim, compare, record
from torch_geometric.nn.models import LightGCN as PeerLightGCN

from recommender.data import TrainingData, training_data
from recommender.models.lightgcn import Config, LightGCNNetwork
from recommender.propagation import normalized_adjacency
from recommender.sampling import PairBatch, PairSampler
from recommender.trainer import train_step

CONFIG = Config(embedding_dim=64, num_layers=3, batch_size=2048, learning_rate=1e-3, reg=1e-4)
STEPS = 38
TUNED_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


def beauty(data: Path) -> TrainingData:
    """Train pairs of amazon14-beauty as rows."""
    path = data / "amazon14-beauty" / "interactions.parquet"
    if not path.exists():
        sys.exit(f"there is no {path}: name the folder of the evaluation data with --data")
    events = pl.read_parquet(path)
    user_ids, users = np.unique(events["user_id"].to_numpy(), return_inverse=True)
    item_ids, items = np.unique(events["item_id"].to_numpy(), return_inverse=True)
    is_train = (events["split"] == "train").to_numpy()
    none = np.empty(0, np.int64)
    return training_data(
        num_users=len(user_ids),
        num_items=len(item_ids),
        train=(users[is_train].astype(np.int64), items[is_train].astype(np.int64)),
        valid=(none, none),
    )


def batches(data: TrainingData) -> Iterator[PairBatch]:
    """Endless batches, negatives drawn as they go; both sides draw the same way."""
    generator = np.random.default_rng(0)
    sampler = PairSampler(data, CONFIG.batch_size)
    while True:
        yield from (batch for batch in sampler.epoch(generator) if len(batch) == CONFIG.batch_size)


def milliseconds(step: Callable[[PairBatch], object], source: Iterator[PairBatch]) -> float:
    """Mean wall-clock milliseconds of ``STEPS`` steps."""
    start = time.perf_counter()
    for _ in range(STEPS):
        step(next(source))
    return 1000 * (time.perf_counter() - start) / STEPS


def our_side(data: TrainingData) -> Callable[[], float]:
    """The product's own network and step."""
    network = LightGCNNetwork(CONFIG, data, None, seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=CONFIG.learning_rate, fused=True)
    source = batches(data)
    return lambda: milliseconds(lambda batch: train_step(network, optimizer, batch), source)


def peer_side(data: TrainingData, *, sparse: bool) -> Callable[[], float]:
    """PyG's LightGCN, with its loss and the same fused Adam."""
    model = PeerLightGCN(data.num_users + data.num_items, CONFIG.embedding_dim, CONFIG.num_layers)
    if sparse:
        adjacency = normalized_adjacency(
            data.train_users, data.train_items, num_users=data.num_users, num_items=data.num_items
        )
        nodes = adjacency.num_nodes
        edges = torch.sparse_csr_tensor(
            adjacency.indptr.long(), adjacency.columns.long(), adjacency.values, (nodes, nodes)
        )
        for conv in model.convs:
            conv.normalize = False
    else:
        users = torch.from_numpy(data.train_users)
        items = torch.from_numpy(data.train_items + data.num_users)
        edges = torch.stack([torch.cat([users, items]), torch.cat([items, users])])
    optimizer = torch.optim.Adam(model.parameters(), lr=CONFIG.learning_rate, fused=True)

    def step(batch: PairBatch) -> float:
        users = torch.from_numpy(batch.users)
        positives = torch.from_numpy(batch.positives + data.num_users)
        negatives = torch.from_numpy(batch.negatives + data.num_users)
        pairs = torch.stack([torch.cat([users, users]), torch.cat([positives, negatives])])
        optimizer.zero_grad()
        positive_scores, negative_scores = model(edges, pairs).chunk(2)
        loss = model.recommendation_loss(
            positive_scores, negative_scores, pairs.unique(), lambda_reg=CONFIG.reg
        )
        loss.backward()
        optimizer.step()
        return loss.item()

    source = batches(data)
    return lambda: milliseconds(step, source)


def run(data_folder: Path, allocator: str, pairs: int) -> None:
    """Measure and record."""
    data = beauty(data_folder)
    claims: list[Claim] = []
    ours = our_side(data)
    for peer, sparse, target in [("PyG, sparse CSR adjacency", True, 1.0), ("PyG, edge index", False, 1.0)]:
        claims.append(
            compare(
                f"LightGCN step, {allocator} allocator",
                peer=peer,
                unit="ms/step",
                ours=ours,
                theirs=peer_side(data, sparse=sparse),
                higher_is_better=False,
                pairs=pairs,
                target=target,
            )
        )
    record(
        f"lightgcn_step_{allocator}",
        f"amazon14-beauty train part, {data.num_users + data.num_items:,} nodes, {len(data.train_users):,} "
        f"pairs, d 64, 3 layers, batch 2,048; mean of {STEPS} steps a measurement, alternating pairs",
        claims,
        packages=("torch", "torch_geometric"),
        facts={"torch threads": torch.get_num_threads()},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--allocator", choices=["default", "tuned"], default="default")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    if options.allocator == "tuned" and "MALLOC_TOP_PAD_" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | TUNED_ALLOCATOR)  # noqa: S606 - itself
    run(options.data, options.allocator, options.pairs)

"""PyG's LightGCN as one side of a comparison, with its own loss and fused Adam, on the same batches as ours.

Its two documented forms: an edge index that is normalised in every forward pass, and a sparse CSR adjacency
that is normalised once.
"""

import argparse
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beauty import read_events, training
from serving import Measure, serve
from torch_geometric.nn.models import LightGCN

from recommender.data import TrainingData
from recommender.graph.nodes import training_graph
from recommender.training.sampling import PairBatch, PairSampler

EMBEDDING_DIM, NUM_LAYERS, BATCH_SIZE, LEARNING_RATE, REG = 64, 3, 2048, 1e-3, 1e-4


def prepare(form: str, data_folder: Path) -> Measure:
    data = training(read_events(data_folder))
    model = LightGCN(data.num_users + data.num_items, EMBEDDING_DIM, NUM_LAYERS)
    edges = _csr(data, model) if form == "csr" else _edge_index(data)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    batches = _endless(PairSampler(data, BATCH_SIZE))

    def step(batch: PairBatch) -> float:
        users = torch.from_numpy(batch.users)
        positives = torch.from_numpy(batch.positives + data.num_users)
        negatives = torch.from_numpy(batch.negatives.ravel() + data.num_users)
        pairs = torch.stack([torch.cat([users, users]), torch.cat([positives, negatives])])
        optimizer.zero_grad()
        positive_scores, negative_scores = model(edges, pairs).chunk(2)
        nodes = pairs.unique()
        loss = model.recommendation_loss(positive_scores, negative_scores, nodes, lambda_reg=REG)
        loss.backward()
        optimizer.step()
        return loss.item()

    def measure(steps: int) -> Mapping[str, Any]:
        for batch in islice(batches, steps):
            step(batch)
        return {"steps": steps}

    return measure


def _csr(data: TrainingData, model: LightGCN) -> torch.Tensor:
    adjacency = training_graph(data)
    for conv in model.convs:
        conv.normalize = False  # pyright: ignore[reportArgumentType] - a plain attribute of theirs
    return torch.sparse_csr_tensor(
        adjacency.indptr.long(), adjacency.columns.long(), adjacency.values, (adjacency.num_nodes,) * 2
    )


def _edge_index(data: TrainingData) -> torch.Tensor:
    users, items = torch.from_numpy(data.train_users), torch.from_numpy(data.train_items + data.num_users)
    return torch.stack([torch.cat([users, items]), torch.cat([items, users])])


def _endless(sampler: PairSampler) -> Iterator[PairBatch]:
    generator = np.random.default_rng(0)
    while True:
        yield from sampler.epoch(generator)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=["csr", "edge_index"])
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    serve(lambda: prepare(options.form, options.data))

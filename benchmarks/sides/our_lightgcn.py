"""Our LightGCN as one side of a comparison, and the parts of its step alone.

An epoch is `recommender.training.trainer.train` of one epoch: batches and their negatives, steps, kept
weights. The parts are what no implementation can leave out: 2L sparse products, gathers and scatters of the
batch's rows, the loss on these rows with its gradients, and Adam; each alone in a loop, in the fastest form
that we know. ``copies`` says on how many sets of operands the loop takes turns: one set stays in the cache of
a processor, where a step, which goes through all of its tensors, does not leave it.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beauty import read_events, training
from serving import Measure, serve

from featurestore.progress import no_progress
from recommender.graph.nodes import batch_rows, training_graph
from recommender.graph.propagation import Adjacency
from recommender.models.lightgcn import Config, Network
from recommender.training.losses import bpr_loss, l2_penalty
from recommender.training.sampling import PairSampler
from recommender.training.trainer import train

CONFIG = Config(embedding_dim=64, num_layers=3, batch_size=2048, learning_rate=1e-3, reg=1e-4, epochs=1)
REPEATS = 30


def prepare(data_folder: Path) -> Measure:
    data = training(read_events(data_folder))
    network = Network(CONFIG, data, (None, None), 0)
    adjacency = training_graph(data)
    sampler = PairSampler(data, CONFIG.batch_size)
    rows = batch_rows(next(iter(sampler.epoch(np.random.default_rng(0)))), data.num_users)

    def epoch() -> Mapping[str, Any]:
        train(network, data, CONFIG, seed=0, progress=no_progress)
        return {"steps": network.num_batches}

    def parts(copies: int) -> Mapping[str, Any]:
        sets = [_parts(adjacency, rows) for _ in range(copies)]
        found = {name: _milliseconds([works[name] for works in sets]) for name in sets[0]}
        product = min(found.pop("embedding_bag product"), found.pop("MKL CSR product"))
        return {"parts": {"sparse products": 2 * CONFIG.num_layers * product} | found}

    def sampling() -> Mapping[str, Any]:
        for _ in sampler.epoch(np.random.default_rng(0)):
            pass
        return {"steps": sampler.num_batches}

    works = {"epoch": epoch, "parts": parts, "sampling": sampling}
    return lambda work, **request: works[work](**request)


def _parts(adjacency: Adjacency, rows: torch.Tensor) -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    shape = (adjacency.num_nodes, CONFIG.embedding_dim)
    dense = torch.randn(shape, generator=generator)
    compressed = torch.sparse_csr_tensor(
        adjacency.indptr, adjacency.columns, adjacency.values, (adjacency.num_nodes,) * 2
    )
    batch_values = torch.randn(len(rows), CONFIG.embedding_dim, generator=generator)
    return {
        "embedding_bag product": partial(adjacency.matmul, dense),
        "MKL CSR product": partial(torch.mm, compressed, dense, out=torch.empty(shape)),
        "gathers and scatters": partial(_gather_and_scatter, dense, rows, batch_values, torch.zeros(shape)),
        "loss": partial(_loss, batch_values),
        "Adam": _adam(dense).step,
    }


def _gather_and_scatter(
    dense: torch.Tensor, rows: torch.Tensor, values: torch.Tensor, buffer: torch.Tensor
) -> None:
    dense.index_select(0, rows)
    dense.index_select(0, rows)
    buffer.zero_().index_add_(0, rows, values)
    buffer.index_add_(0, rows, values)


def _loss(values: torch.Tensor) -> None:
    final, first = values.clone().requires_grad_(), values.clone().requires_grad_()
    users, positives, negatives = final.view(3, -1, CONFIG.embedding_dim)
    ranking = bpr_loss((users * positives).sum(dim=1), (users * negatives).sum(dim=1))
    (ranking + CONFIG.reg * l2_penalty(first, len(users))).backward()


def _adam(dense: torch.Tensor) -> torch.optim.Optimizer:
    weight = torch.nn.Parameter(dense.clone())
    weight.grad = torch.full_like(weight, 1e-3)
    return torch.optim.Adam([weight], lr=CONFIG.learning_rate, fused=True)


def _milliseconds(works: Sequence[Callable[[], object]]) -> float:
    """Median of ``REPEATS`` calls of works in turn, each called once before."""
    seconds: list[float] = []
    for work in islice(cycle(works), len(works) + REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds[len(works) :]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    serve(lambda: prepare(options.data))

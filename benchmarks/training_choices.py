"""Two choices of the trainer on amazon14-beauty: the order of nodes, and torch.compile.

A product with the training graph gathers a row of its operand per edge, so nodes that share neighbours should
lie close together: the order in which the store numbers them is compared with reverse Cuthill-McKee's, with
falling degree, and with a random one. ``compile=true`` is compared with the loss as it is, after it has been
compiled; what compiling takes is quoted beside it.
"""

import argparse
import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import common
import numpy as np
import torch
from beauty import read_events, training
from common import Claim, compare, record, seconds
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from recommender.data import IntArray, TrainingData
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import Adjacency
from recommender.training.compiled import compiled
from recommender.training.trainer import train_step

MODELS = ("bpr_mf", "lightgcn", "simgcl")
PRODUCTS = 50


def run(data_folder: Path, pairs: int) -> None:
    """Measure and record."""
    events = read_events(data_folder)
    data = training(events)
    compiling: dict[str, float] = {}
    record(
        "training_choices",
        f"amazon14-beauty train part, {events.num_users + events.num_items:,} nodes, d 64; "
        f"{PRODUCTS} products, or an epoch, each; alternating pairs",
        [*_orders(training_graph(data), pairs), *_compiled(data, compiling, pairs)],
        packages=("torch", "scipy"),
        facts={"torch threads": torch.get_num_threads(), "seconds of the first epoch, compiled": compiling},
    )


def _orders(adjacency: Adjacency, pairs: int) -> Iterator[Claim]:
    matrix = csr_array(
        tuple(part.numpy() for part in (adjacency.values, adjacency.columns, adjacency.indptr))
    )
    degrees = np.diff(matrix.indptr)
    orders = {
        "reverse Cuthill-McKee": reverse_cuthill_mckee(matrix, symmetric_mode=True),
        "falling degree": np.argsort(-degrees, kind="stable"),
        "a random order": np.random.default_rng(0).permutation(len(degrees)),
    }
    dense = torch.randn(adjacency.num_nodes, 64, generator=torch.Generator().manual_seed(0))
    for peer, order in orders.items():
        yield compare(
            "product with the graph, nodes as the store numbers them",
            peer=peer,
            unit="ms",
            ours=partial(_product_milliseconds, adjacency, dense),
            theirs=partial(_product_milliseconds, _renumbered(matrix, order), dense),
            higher_is_better=False,
            pairs=pairs,
        )


def _renumbered(matrix: csr_array, order: IntArray) -> Adjacency:
    """The same graph; node n of it is node ``order[n]`` of the given one."""
    renumbered = csr_array(matrix[order][:, order])
    renumbered.sort_indices()
    parts = renumbered.indptr.astype(np.int32), renumbered.indices.astype(np.int32), renumbered.data
    return Adjacency(*map(torch.from_numpy, parts))


def _product_milliseconds(adjacency: Adjacency, dense: torch.Tensor) -> float:
    def products() -> None:
        for _ in range(PRODUCTS):
            adjacency.matmul(dense)

    return 1000 * seconds(products) / PRODUCTS


def _compiled(data: TrainingData, compiling: dict[str, float], pairs: int) -> Iterator[Claim]:
    for name in MODELS:
        plain, fast = (_epoch_milliseconds(name, data, is_compiled=wanted) for wanted in (False, True))
        compiling[name] = round(seconds(fast), 1)
        yield compare(
            f"`{name}` step, compile=true",
            peer="compile=false",
            unit="ms/step",
            ours=fast,
            theirs=plain,
            higher_is_better=False,
            pairs=pairs,
        )


def _epoch_milliseconds(name: str, data: TrainingData, *, is_compiled: bool) -> Callable[[], float]:
    """A call that trains an epoch and returns the milliseconds of its steps."""
    module = importlib.import_module(f"recommender.models.{name}")
    config = module.Config()
    network = module.Network(config, data, (None, None), 0)
    loss = compiled(network.loss) if is_compiled else network.loss
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    sampler, noise = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def epoch() -> float:
        batches = list(network.epoch(sampler))

        def steps() -> None:
            for batch in batches:
                train_step(loss, optimizer, batch, noise, config)

        return 1000 * seconds(steps) / len(batches)

    return epoch


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--records", type=Path, default=common.RECORDS, help="Folder of the JSON record.")
    options = parser.parse_args()
    common.RECORDS = options.records
    run(options.data.resolve(), options.pairs)

"""Two choices of the trainer: the order of nodes, and torch.compile.

A product with the training graph gathers a row of its operand per edge, so nodes that share neighbours should
lie close together. The store numbers users, then items, in the order of a hash of their ids, which is random;
it is compared with the order of the file's ids and with reverse Cuthill-McKee's, on amazon14-beauty and on
gowalla. ``compile=true`` is compared, on amazon14-beauty, with the loss as it is, after it has been compiled;
what compiling takes, and what cannot be compiled, is quoted beside it.
"""

import argparse
import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import common
import numpy as np
import polars as pl
import torch
from beauty import read_events, training
from common import Claim, compare, record, seconds
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from featurestore.errors import UsageError
from recommender.data import IntArray, TrainingData, training_data
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import Adjacency
from recommender.training.compiled import compiled
from recommender.training.trainer import train_step

MODELS = ("bpr_mf", "lightgcn", "simgcl", "ngcf", "sasrec")
PRODUCTS = 50


def run(data_folder: Path, pairs: int) -> None:
    """Measure and record."""
    beauty, gowalla = training(read_events(data_folder)), _read_gowalla(data_folder)
    compiling: dict[str, str] = {}
    record(
        "training_choices",
        f"d 64; {PRODUCTS} products with the training graph ({beauty.num_users + beauty.num_items:,} and "
        f"{gowalla.num_users + gowalla.num_items:,} nodes), or an epoch of amazon14-beauty, each; "
        "alternating pairs",
        [
            *_orders("amazon14-beauty", beauty, pairs),
            *_orders("gowalla", gowalla, pairs),
            *_compiled(beauty, compiling, pairs),
        ],
        packages=("torch", "scipy"),
        facts={"torch threads": torch.get_num_threads(), "the first epoch with compile=true": compiling},
    )


def _read_gowalla(data_folder: Path) -> TrainingData:
    events = pl.read_parquet(data_folder / "gowalla" / "interactions.parquet").filter(
        pl.col("split") == "train"
    )
    ends = [events[name].to_numpy().astype(np.int64) for name in ("user_id", "item_id")]
    none = np.empty(0, np.int64)
    users, items = (int(end.max()) + 1 for end in ends)
    return training_data(num_users=users, num_items=items, train=(ends[0], ends[1]), valid=(none, none))


def _orders(dataset: str, data: TrainingData, pairs: int) -> Iterator[Claim]:
    by_id, generator = training_graph(data), np.random.default_rng(0)
    matrix = csr_array(tuple(part.numpy() for part in (by_id.values, by_id.columns, by_id.indptr)))
    users, items = generator.permutation(data.num_users), generator.permutation(data.num_items)
    by_hash = np.concatenate([users, data.num_users + items])
    by_neighbours = reverse_cuthill_mckee(matrix, symmetric_mode=True)
    dense = torch.randn(by_id.num_nodes, 64, generator=torch.Generator().manual_seed(0))
    for peer, theirs in {
        "the order of the file's ids": by_id,
        "reverse Cuthill-McKee's order": _renumbered(matrix, by_neighbours),
    }.items():
        yield compare(
            f"product with the graph of {dataset}, nodes in the order of a hash, as in the store",
            peer=peer,
            unit="ms",
            ours=partial(_product_milliseconds, _renumbered(matrix, by_hash), dense),
            theirs=partial(_product_milliseconds, theirs, dense),
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


def _compiled(data: TrainingData, compiling: dict[str, str], pairs: int) -> Iterator[Claim]:
    for name in MODELS:
        plain, fast = (_epoch_milliseconds(name, data, is_compiled=wanted) for wanted in (False, True))
        try:
            compiling[name] = f"{seconds(fast):.0f} s"
        except UsageError as error:
            compiling[name] = f"{type(error.__cause__).__name__}"
            continue
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

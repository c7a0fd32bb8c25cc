"""Our full ranking as one side of a comparison, and the bare product with top-k that it is measured against.

Vectors are those of a LightGCN after three epochs: ``--write FOLDER`` trains it, without measuring;
``--vectors FOLDER`` measures with them, in a process whose peak memory has seen no training.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beauty import read_events, test_part, training
from serving import Measure, serve

from featurestore.progress import no_progress
from recommender.data import FloatArray, IntArray
from recommender.evaluate import evaluate_ranking
from recommender.models.lightgcn import Config, Network
from recommender.training.trainer import score_users, train

TOP_K = 20
_NAMES = ("user_vectors.npy", "item_vectors.npy")


def write_vectors(data_folder: Path, folder: Path) -> None:
    """``user_vectors.npy`` and ``item_vectors.npy``, (U, d) and (I, d) float32."""
    data = training(read_events(data_folder))
    config = Config(embedding_dim=64, num_layers=3, epochs=3)
    network = Network(config, data, (None, None), 0)
    train(network, data, config, seed=0, progress=no_progress)
    for name, vectors in zip(_NAMES, network.score_vectors(), strict=True):
        np.save(folder / name, vectors.numpy())


def prepare(data_folder: Path, folder: Path) -> Measure:
    held_out = test_part(read_events(data_folder))
    user_vectors, item_vectors = (torch.from_numpy(np.load(folder / name)) for name in _NAMES)
    users = torch.from_numpy(np.unique(held_out.users))

    def score(rows: IntArray) -> FloatArray:
        return score_users(user_vectors, item_vectors, rows)

    def rank() -> Mapping[str, Any]:
        metrics = evaluate_ranking(score, held_out)
        return {"users": len(users), "metrics": metrics.means()}

    def bare(users_per_batch: int, *, masked: bool) -> Mapping[str, Any]:
        seen = [held_out.seen.pairs_of(part.numpy()) for part in users.split(users_per_batch)]
        start = time.perf_counter()
        for part, (lines, items) in zip(users.split(users_per_batch), seen, strict=True):
            scores = user_vectors.index_select(0, part) @ item_vectors.T
            if masked:
                scores[torch.from_numpy(lines), torch.from_numpy(items)] = -torch.inf
            torch.topk(scores, TOP_K, dim=1)
        return {"users": len(users), "seconds": time.perf_counter() - start}

    works = {"rank": rank, "bare": bare}
    return lambda work, **request: works[work](**request)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    purpose = parser.add_mutually_exclusive_group(required=True)
    purpose.add_argument("--write", type=Path, help="Folder for vectors.")
    purpose.add_argument("--vectors", type=Path, help="Folder of vectors.")
    options = parser.parse_args()
    if options.write:
        write_vectors(options.data, options.write)
    else:
        serve(lambda: prepare(options.data, options.vectors))

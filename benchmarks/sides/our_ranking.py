"""Our full ranking as one side of a comparison, and the bare product with top-k that it is measured against.

Vectors are those of a LightGCN after three epochs, computed before anything is measured.
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


def prepare(data_folder: Path) -> Measure:
    events = read_events(data_folder)
    data, held_out = training(events), test_part(events)
    config = Config(embedding_dim=64, num_layers=3, epochs=3)
    network = Network(config, data, (None, None), 0)
    train(network, data, config, seed=0, progress=no_progress)
    user_vectors, item_vectors = network.score_vectors()
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

    def write_vectors(folder: str) -> Mapping[str, Any]:
        np.save(Path(folder) / "user_vectors.npy", user_vectors.numpy())
        np.save(Path(folder) / "item_vectors.npy", item_vectors.numpy())
        return {}

    works = {"rank": rank, "bare": bare, "write_vectors": write_vectors}
    return lambda work, **request: works[work](**request)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    serve(lambda: prepare(options.data))

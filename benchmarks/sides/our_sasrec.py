"""Our SASRec as one side of a comparison: one epoch of `training.trainer`, as wide as the peer."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from beauty import read_events, training
from serving import Measure, serve

from featurestore.progress import no_progress
from recommender.models.sasrec import Config, Network
from recommender.training.trainer import train


def prepare(data_folder: Path, length: int) -> Measure:
    data = training(read_events(data_folder))
    config = Config(
        embedding_dim=64,
        max_length=length,
        num_layers=2,
        num_heads=2,
        feedforward_dim=256,
        batch_size=2048,
        dropout=0.5,
        epochs=1,
    )
    network = Network(config, data, (None, None), 0)
    targets = sum(len(batch.targets) for batch in network.epoch(np.random.default_rng(0)))

    def epoch() -> Mapping[str, Any]:
        report = train(network, data, config, seed=0, progress=no_progress)
        return {"steps": network.num_batches, "targets": targets, "loss": report.history[-1].loss}

    return epoch


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--length", type=int, default=50)
    options = parser.parse_args()
    serve(lambda: prepare(options.data, options.length))

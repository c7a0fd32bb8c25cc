"""Our ISRF, direct task, as one side of a comparison: `recommender.training.trainer.train` of one epoch.

Vectors of items are random: what an epoch costs does not depend on what they say.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from beauty import read_events, training
from serving import Measure, serve

from featurestore.progress import no_progress
from recommender.features import EntityFeatures, NodeFeatures
from recommender.interests.direct import DirectNetwork
from recommender.interests.user_graph import user_neighbors
from recommender.model_arrays import fit_projections, project
from recommender.models.isrf import Config
from recommender.training.trainer import train

CONFIG = Config(embedding_dim=64, num_layers=3, batch_size=2048, learning_rate=1e-3, reg=1e-4, epochs=1)
VECTOR_DIM = 384


def prepare(data_folder: Path) -> Measure:
    data = training(read_events(data_folder))
    drawn = np.random.default_rng(0).standard_normal((data.num_items, VECTOR_DIM), dtype=np.float32)
    features = NodeFeatures(EntityFeatures(drawn, np.ones(data.num_items, np.bool_)))
    neighbors = user_neighbors(CONFIG.user_graph, CONFIG.num_neighbors, data, features, seed=0)
    vectors = project(fit_projections(features, CONFIG.pca_components), features)
    network = DirectNetwork(neighbors, CONFIG, data, vectors, 0)

    def epoch() -> Mapping[str, Any]:
        train(network, data, CONFIG, seed=0, progress=no_progress)
        return {"steps": network.num_batches}

    return epoch


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    serve(lambda: prepare(options.data))

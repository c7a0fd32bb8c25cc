"""Our RecMind, phase 2, as one side of a comparison: `recommender.training.trainer.train` of one epoch.

Vectors of items are random and users have none: what an epoch costs does not depend on what texts say. All
settings are the model's own defaults.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from interactions import training_part
from serving import Measure, serve

from featurestore.progress import no_progress
from recommender.features import EntityFeatures, NodeFeatures
from recommender.model_arrays import fit_projections, project
from recommender.models.recmind import Config, Network
from recommender.text.aligned_sides import AlignedSides
from recommender.text.alignment_phases import JointPhase, Parts
from recommender.training.rare_negatives import training_pairs
from recommender.training.trainer import train

VECTOR_DIM = 384


def prepare(file: Path, *, aligns: bool) -> Measure:
    config = Config(epochs=1, align="both" if aligns else "none")
    data = training_part(file)
    drawn = np.random.default_rng(0).standard_normal((data.num_items, VECTOR_DIM), dtype=np.float32)
    features = NodeFeatures(EntityFeatures(drawn, np.ones(data.num_items, np.bool_)))
    vectors = project(fit_projections(features, config.pca_components), features)
    network = Network(config, data, vectors, 0)
    sides = AlignedSides(config, network.text)
    phase = JointPhase(Parts(config, network, sides, training_pairs(config, data)))

    def epoch() -> Mapping[str, Any]:
        train(phase, data, config, seed=0, progress=no_progress)
        return {"steps": phase.num_batches}

    return epoch


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=Path, required=True)
    parser.add_argument("--no-alignment", action="store_true")
    options = parser.parse_args()
    serve(lambda: prepare(options.interactions, aligns=not options.no_alignment))

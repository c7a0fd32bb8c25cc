"""A graph model, alone or as LGHRec's backbone with HGPO, as one side of a comparison.

An epoch is `recommender.training.trainer.train` of one epoch: cutting graphs, batches, steps, and the updates
of the policies, which stand between steps. All settings are the models' own defaults.
"""

import argparse
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interactions import training_part
from serving import Measure, serve

from featurestore.progress import no_progress
from recommender.training.trainer import train


def prepare(file: Path, backbone: str, *, has_hgpo: bool) -> Measure:
    data = training_part(file)
    module = importlib.import_module(f"recommender.models.{'lghrec' if has_hgpo else backbone}")
    settings = {"epochs": 1} | ({"backbone": backbone} if has_hgpo else {})
    config = module.Config.model_validate(settings)
    network = module.Network(config, data, (None, None), 0)

    def epoch() -> Mapping[str, Any]:
        train(network, data, config, seed=0, progress=no_progress)
        return {"steps": network.num_batches}

    return epoch


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--hgpo", action="store_true")
    options = parser.parse_args()
    serve(lambda: prepare(options.interactions, options.backbone, has_hgpo=options.hgpo))

"""A setting that keeps vectors out of training is known to: a control of them would be called one in vain."""

from typing import Any

import numpy as np
import pytest

from featurestore.progress import no_progress
from recommender.features import NodeFeatures, apply_control
from recommender.registry import find_model, model_names, parse_settings
from recommender.testing import checkerboard, checkerboard_features
from recommender.training.embedding_config import EmbeddingConfig

FEW = {"epochs": "2", "eval_every": "1", "batch_size": "128", "embedding_dim": "8"}
FUSING = [name for name in model_names() if issubclass(find_model(name).config_type, EmbeddingConfig)]
FUSING.remove("alpharec")  # it has no fusion=none
OWN_WAYS = {"fdsa", "isrf", "recmind", "rlmrec"}
"""Models that read vectors without a fusion."""
FEW_NEIGHBORS = {"isrf": {"num_neighbors": "8"}}
"""Else everybody would resemble everybody, whatever the vectors are."""


def scores(name: str, settings: dict[str, str], features: NodeFeatures) -> Any:
    entry = find_model(name)
    model = entry.model_type(parse_settings(entry.config_type, FEW | settings))
    data, _ = checkerboard()
    model.fit(data, features=features, seed=0, progress=no_progress)
    return model.score(np.arange(4))


@pytest.mark.parametrize("name", FUSING)
def test_vectors_change_what_is_trained_where_they_are_said_to(name):
    given = checkerboard_features()
    assert given.items is not None
    shuffled = NodeFeatures(items=apply_control(given.items, "shuffled", seed=0))
    settings = {"fusion": "none"} | FEW_NEIGHBORS.get(name, {})
    found = [scores(name, settings, features) for features in (given, shuffled)]
    config = parse_settings(find_model(name).config_type, settings)
    assert isinstance(config, EmbeddingConfig)
    assert config.reads_vectors == (name in OWN_WAYS)
    assert np.array_equal(*found) != config.reads_vectors


def test_isrf_without_texts_reads_vectors_where_it_compares_users_by_them():
    for fusion, reads in (("none", False), ("add", True)):
        config = parse_settings(
            find_model("isrf").config_type, {"fusion": fusion, "user_graph": "interactions"}
        )
        assert isinstance(config, EmbeddingConfig)
        assert config.reads_vectors == reads

"""Fitting reads the training part alone: the validation part chooses an epoch and changes no step."""

from dataclasses import replace

import numpy as np
import pytest

from featurestore.progress import no_progress
from recommender.registry import find_model, model_names, parse_settings
from recommender.testing import NEEDS_FEATURES, checkerboard, checkerboard_features

SETTINGS = {"epochs": "4", "eval_every": "1", "patience": "9", "batch_size": "64", "embedding_dim": "16"}


def losses_and_arrays(name, data):
    entry = find_model(name)
    fields = entry.config_type.model_fields
    config = parse_settings(entry.config_type, {key: text for key, text in SETTINGS.items() if key in fields})
    model = entry.model_type(config)
    features = checkerboard_features() if "epochs" in fields or name in NEEDS_FEATURES else None
    fit = model.fit(data, features=features, seed=3, progress=no_progress)
    return [record.loss for record in fit.history], model.arrays()


@pytest.mark.parametrize("name", model_names())
def test_the_validation_part_changes_no_step(name):
    data, answers = checkerboard()
    wrong = (answers + 1) % len(np.unique(answers))
    other = replace(data, valid=replace(data.valid, items=wrong))
    assert not np.array_equal(data.valid.items, other.valid.items)
    (losses, arrays), (other_losses, other_arrays) = (losses_and_arrays(name, each) for each in (data, other))
    assert losses == other_losses
    if not losses:  # nothing is chosen by validation
        for group, found in arrays.items():
            for key, array in found.items():
                np.testing.assert_array_equal(array, other_arrays[group][key], err_msg=f"{group}.{key}")
        return
    assert len(losses) == 4

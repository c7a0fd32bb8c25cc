"""Every model trains with products of bfloat16: on the CPU here, whose casts are those of a GPU."""

import numpy as np
import pytest
import torch

from featurestore.progress import no_progress
from recommender.registry import find_model, model_names, parse_settings
from recommender.testing import NEEDS_FEATURES, checkerboard, checkerboard_features

TRAINED = [name for name in model_names() if "precision" in find_model(name).config_type.model_fields]


@pytest.mark.parametrize("name", TRAINED)
def test_a_model_trains_under_autocast(name, monkeypatch):
    real, entered = torch.autocast, []

    def autocast(device_type: str, dtype: torch.dtype | None = None, **options: bool):
        if dtype == torch.bfloat16:  # by the trainer; torch's own code asks for nothing
            entered.append(device_type)
            options["enabled"] = True
        return real(device_type, dtype, **options)

    monkeypatch.setattr(torch, "autocast", autocast)
    data, _ = checkerboard()
    entry = find_model(name)
    few = {"epochs": "2", "eval_every": "2", "batch_size": "64", "embedding_dim": "16"}
    model = entry.model_type(parse_settings(entry.config_type, few))
    features = checkerboard_features() if name in NEEDS_FEATURES else None
    model.fit(data, features=features, seed=1, progress=no_progress)
    assert entered
    assert np.isfinite(model.score(np.arange(data.num_users))).all()

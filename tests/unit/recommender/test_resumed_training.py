"""Training that was stopped goes on from its checkpoint to the bit, whatever the model."""

from dataclasses import replace

import numpy as np
import pytest

from featurestore.progress import no_progress
from recommender.checkpoint import CheckpointFile
from recommender.registry import find_model, model_names, parse_settings
from recommender.testing import checkerboard, checkerboard_features

EPOCHS, STOPPED = 6, 3
SETTINGS = {
    "epochs": f"{EPOCHS}",
    "eval_every": "2",
    "patience": "9",
    "batch_size": "64",
    "learning_rate": "0.02",
    "embedding_dim": "16",
    "dropout": "0.4",
}
TRAINED = [name for name in model_names() if "epochs" in find_model(name).config_type.model_fields]


def stop(done: int, total: int, note: str = "") -> None:
    """Between two validations of the loop that chooses epochs."""
    del note
    if (done, total) == (STOPPED, EPOCHS):
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", TRAINED)
def test_training_that_was_stopped_goes_on_to_the_bit(name, tmp_path):
    data, _ = checkerboard()
    # Without a validation part the last weights are kept: the best ones may be those from before the stop.
    data = replace(data, valid=replace(data.valid, users=data.valid.users[:0], items=data.valid.items[:0]))
    entry = find_model(name)
    fields = entry.config_type.model_fields
    config = parse_settings(entry.config_type, {key: text for key, text in SETTINGS.items() if key in fields})
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")
    found = []
    for checkpoint, progress in ((None, no_progress), (file, stop), (file, no_progress)):
        model = entry.model_type(config)
        fit = model.fit(
            data, features=checkerboard_features(), seed=3, progress=progress, checkpoint=checkpoint
        )
        assert (fit.epochs, fit.interrupted) == ((STOPPED, True) if progress is stop else (EPOCHS, False))
        found.append(
            {f"{g}.{n}": array for g, arrays in model.arrays().items() for n, array in arrays.items()}
        )
    whole, stopped, resumed = found
    assert whole.keys() == stopped.keys() == resumed.keys()
    assert any(not np.array_equal(whole[key], stopped[key]) for key in whole)
    for key, array in whole.items():
        np.testing.assert_array_equal(array, resumed[key], err_msg=key)

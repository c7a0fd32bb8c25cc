"""HGPO's settings: what cannot be, and what nothing would read, is refused."""

import pytest
from pydantic import ValidationError

from featurestore.progress import no_progress
from recommender.hgpo.config import HgpoConfig
from recommender.models.lghrec import Config, Model
from recommender.testing import checkerboard

BY_HAND = {"temperature_by": "fixed", "negatives_by": "uniform"}
IN_BATCH = {"temperature_by": "fixed", "negatives_by": "in_batch"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"choice_head": "slot", "negatives_by": "uniform"}, "choice_head=slot .* negatives_by=uniform"),
        ({"choice_chance": "summed", "negatives_by": "hard"}, "choice_chance=summed has no effect"),
        ({"loss_negatives": "in_batch", "negatives_by": "hard"}, "loss_negatives=in_batch has no effect"),
        ({"hard_reward": 2.0, "negatives_by": "uniform"}, "hard_reward=2.0 has no effect"),
        ({"easy_below": 0.1, "negatives_by": "hard"}, "easy_below=0.1 has no effect"),
        ({"num_chosen": 8, "negatives_by": "in_batch"}, "num_chosen=8 has no effect"),
        ({"temperature_form": "clamped", "temperature_by": "fixed"}, "clamped .* temperature_by=fixed"),
        ({"temperature_penalty": 5.0, "temperature_by": "learned"}, "temperature_penalty=5.0 has no effect"),
        ({"temperature_max": 2.0, "temperature_by": "ideal"}, "temperature_max=2.0 has no effect"),
        ({"temperature": 0.3, "temperature_by": "ideal"}, "temperature=0.3 has no effect"),
        ({"state_of": "layer_zero"} | BY_HAND, "negatives_by=uniform and temperature_by=fixed"),
        ({"entropy_weight": 0.0} | BY_HAND, "entropy_weight=0.0 has no effect"),
        ({"groups": "quantile"} | BY_HAND, "groups=quantile has no effect"),
        ({"pools": "items"} | IN_BATCH, "pools=items has no effect"),
        ({"pool_size": 200} | IN_BATCH, "pool_size=200 has no effect"),
        ({"clip_range": 0.1}, "clip_range=0.1 has no effect with update_epochs=1"),
        ({"positive": "layer", "drop_rate": 0.3}, "drop_rate=0.3 has no effect with positive=layer"),
        ({"positive_layer": 4}, "positive_layer=4 has no effect with positive=second_view"),
        ({"contrast_weight": 0.0, "num_samples": 4}, "num_samples=4 has no effect with contrast_weight=0"),
    ],
)
def test_settings_that_nothing_reads_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        HgpoConfig.model_validate({"embedding_dim": 4} | settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"easy_below": 0.6}, "easy_below=0.6 <= hard_above=0.5"),
        ({"hard_above": 0.9}, "hard_above=0.9 < false_negative_above=0.8"),
        ({"num_chosen": 100}, "leaves nothing to choose"),
        ({"num_groups": 3}, "needs groups=quantile; groups=degree makes 5"),
        ({"groups": "none", "num_groups": 3}, "needs groups=quantile; groups=none makes one"),
        ({"groups": "none", "harmony_weight": 1.0}, "harmony_weight=1.0 has no effect with groups=none"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        HgpoConfig.model_validate(settings)


def test_settings_that_say_the_default_are_taken():
    everything = HgpoConfig(contrast_weight=0).model_dump()
    assert HgpoConfig.model_validate(everything).contrast_weight == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature_by": "ideal", "pools": "items", "temperature": 0.5},
        {"temperature_by": "ideal", "negatives_by": "in_batch", "pools": "items"},
        {"temperature_by": "fixed", "negatives_by": "hard", "state_of": "layer_zero"},
        {"temperature_by": "hgpo", "negatives_by": "in_batch", "pool_size": 16},
    ],
)
def test_settings_that_something_reads_change_what_is_trained(settings):
    """The last of each is taken, and without it another model is trained."""
    last = list(settings)[-1]
    others = {name: value for name, value in settings.items() if name != last}
    assert fitted(settings) != fitted(others)


def fitted(settings: dict[str, object]) -> bytes:
    quick = {"epochs": 2, "eval_every": 2, "batch_size": 128, "embedding_dim": 8, "learning_rate": 0.02}
    model = Model(Config.model_validate(quick | settings))
    model.fit(checkerboard()[0], features=None, seed=3, progress=no_progress)
    return model.vectors()[1].numpy().tobytes()

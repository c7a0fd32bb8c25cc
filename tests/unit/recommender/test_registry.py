import pytest

from featurestore.errors import UnknownNameError, UsageError
from recommender.models.lightgcn import Config
from recommender.registry import find_model, model_names, parse_settings
from recommender.testing import quick_model


def test_names_are_files():
    for name in model_names():
        assert quick_model(find_model(name)).name == name


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(
        UnknownNameError, match=r"unknown model 'lightgcm'\. Did you mean 'lightgcn'\? Known: .*popularity"
    ):
        find_model("lightgcm")


def test_settings_are_typed():
    config = parse_settings(Config, {"learning_rate": "1e-2", "num_layers": "2", "fusion": "replace"})
    assert config == Config(learning_rate=0.01, num_layers=2, fusion="replace")


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"unknown setting 'learning_rat'\. Did you mean 'learning_rate'\?"
    ):
        parse_settings(Config, {"learning_rat": "1"})


def test_all_wrong_values_are_named_with_what_they_mean():
    with pytest.raises(UsageError) as caught:
        parse_settings(Config, {"epochs": "many", "reg": "-1"})
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("epochs: Input should be a valid integer")
    assert lines[0].endswith("(Passes over the training pairs at most.)")
    assert lines[1].startswith("reg: Input should be greater than or equal to 0")


def test_every_setting_has_a_sentence():
    for name in model_names():
        for setting, field in find_model(name).config_type.model_fields.items():
            assert field.description, f"{name}.{setting} has no description"
            assert field.description.endswith(".")

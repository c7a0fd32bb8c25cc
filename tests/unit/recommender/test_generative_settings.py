"""Settings of the generative form: what nothing reads is refused, saved settings are not."""

import pytest
from generative_world import network_of, ring, settings

from featurestore.errors import UsageError
from recommender.generative.config import SYSTEMS, GenerativeConfig
from recommender.generative.experiment import system_config

UNREAD = [
    ("p5", {"group_weight": "2"}, "group_weight=2.0 has no effect with word_embeddings=positional"),
    ("p5", {"group_weight": "0"}, "group_weight=0.0 has no effect with word_embeddings=positional"),
    ("p5", {"fusion": "add"}, "fusion=add has no effect with word_embeddings=positional"),
    ("pod", {"user_graph": "random"}, "user_graph=random has no effect with word_embeddings=positional"),
    (
        "p5",
        {"num_layers": "4"},
        "num_layers=4 has no effect with word_embeddings=positional, which has no gr",
    ),
    ("p5", {"distillation_weight": "2"}, "distillation_weight=2.0 has no effect with word_embeddings=pos"),
    ("p5", {"align": "soft_dot"}, "align=soft_dot has no effect with word_embeddings=positional"),
    ("p5", {"adapter": "relu"}, "adapter=relu has no effect with word_embeddings=positional"),
    ("isrf", {"distillation_weight": "2"}, "distillation_weight=2.0 has no effect with direct_every=0, for"),
    ("isrf", {"distillation_weight": "0"}, "distillation_weight=0.0 has no effect with direct_every=0, for"),
    ("isrf", {"candidates": "50"}, "candidates=50 has no effect with direct_every=0, without batches of the"),
    ("p5", {"candidates": "50"}, "candidates=50 has no effect with direct_every=0"),
    (
        "p5",
        {"word_embeddings": "none", "word_scale": "3"},
        "word_scale=3.0 has no effect with word_embeddings=n",
    ),
    (
        "p5",
        {"word_embeddings": "none", "init_std": "3"},
        "init_std=3.0 has no effect with word_embeddings=none",
    ),
    ("elmrec", {"adapter": "none"}, "adapter=none has no effect with fusion=none"),
    ("elmrec", {"num_neighbors": "3"}, "num_neighbors=3 has no effect with group_weight=0 and neither eq. 8"),
    (
        "isrf",
        {"sequence_weight": "0", "align": "soft_dot"},
        "align=soft_dot has no effect with neither eq. 8",
    ),
    (
        "isrf",
        {"user_graph": "none", "num_neighbors": "3"},
        "num_neighbors=3 has no effect with user_graph=none",
    ),
]


@pytest.mark.parametrize(("system", "given", "message"), UNREAD)
def test_what_nothing_reads_is_refused(system, given, message):
    with pytest.raises(UsageError) as caught:
        system_config(system, given)
    assert message in caught.value.message
    assert "leave it out" in caught.value.message


def test_all_that_is_unread_is_said_at_once():
    with pytest.raises(
        UsageError, match=r"num_layers=4 has no effect .*; fusion=add has no effect"
    ) as caught:
        system_config("p5", {"num_layers": "4", "fusion": "add", "dropout": "0.2"})
    assert "dropout" not in caught.value.message


@pytest.mark.parametrize(
    ("system", "given"),
    [
        ("isrf", {"direct_every": "2", "distillation_weight": "0", "candidates": "50"}),
        ("isrf", {"group_weight": "0", "distillation_weight": "0", "sequence_weight": "0"}),
        ("isrf", {"sequence_weight": "0"}),
        ("isrf", {"sequence_weight": "0", "direct_every": "2", "temperature": "1"}),
        ("p5", {"direct_every": "2", "candidates": "50", "word_scale": "3"}),
        ("elmrec", {"direct_every": "2"}),
    ],
)
def test_what_is_read_is_taken(system, given):
    config = system_config(system, given)
    assert all(str(getattr(config, name)).startswith(value) for name, value in given.items())


@pytest.mark.parametrize("system", SYSTEMS)
def test_saved_settings_name_every_field_and_are_read_again(system):
    config = system_config(system, {})
    assert GenerativeConfig.model_validate_json(config.model_dump_json()) == config


def test_groups_that_only_direct_batches_would_read_are_not_made_without_them():
    weights = {"group_weight": 0, "sequence_weight": 0}
    assert not settings(**weights).has_groups
    assert network_of(settings(**weights), ring()).words.groups is None
    assert network_of(settings(**weights, direct_every=2), ring()).words.groups is not None

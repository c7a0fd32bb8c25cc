"""LGHRec around its backbones: what is theirs stays theirs, and what it adds is the formula."""

from typing import get_args

import numpy as np
import pytest
import torch
from dense_graph import BATCH, bpr, check_loss_and_gradients, dense_adjacency, mean

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.checkpoint import CheckpointFile
from recommender.graph.views import cut_graphs
from recommender.models.lghrec import Backbone, Config, Model, Network, backbone_config
from recommender.registry import find_model, parse_settings
from recommender.testing import checkerboard, parity_features
from recommender.training.trainer import train_step

BACKBONES = get_args(Backbone)
QUICK = {"epochs": 2, "eval_every": 2, "batch_size": 128, "embedding_dim": 8, "learning_rate": 0.02}
SETTINGS = {"embedding_dim": 4, "init_std": 0.5, "reg": 0.3, "backbone_settings": "num_layers=2"}
SIDES = (range(41), sorted({*BATCH.users})), (range(41, 62), sorted({*(BATCH.positives + 41)}))


def weights(model, features=None, checkpoint=None, progress=no_progress) -> dict[str, np.ndarray]:
    data, _ = checkerboard()
    model.fit(data, features=features, seed=3, progress=progress, checkpoint=checkpoint)
    return model.arrays()["weights"]


def network(features=None, **settings) -> Network:
    given = (None, None) if features is None else (None, features.items.matrix)
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], given, seed=1)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_without_a_contrast_it_is_its_backbone_to_the_bit(backbone):
    ours = weights(Model(Config(**QUICK, backbone=backbone, contrast_weight=0)), parity_features())
    entry = find_model(backbone)
    theirs = entry.model_type(entry.config_type(**QUICK, fusion="concat"))
    expected = weights(theirs, parity_features())
    assert {name.replace("parameter.", "parameter.backbone.") for name in expected} == set(ours)
    for name, array in expected.items():
        np.testing.assert_array_equal(ours[name.replace("parameter.", "parameter.backbone.")], array)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_trains_with_a_policy(backbone):
    found = weights(Model(Config(**QUICK, backbone=backbone)))
    plain = weights(Model(Config(**QUICK, backbone=backbone, contrast_weight=0)))
    assert np.isfinite(found["user_vectors"]).all()
    assert not np.array_equal(found["item_vectors"], plain["item_vectors"])
    steps = [array.item() for name, array in found.items() if name.endswith("adam.steps")]
    assert steps == [2.0, 2.0], "of both sides, one at the end of every epoch"


def propagated(ids: torch.Tensor, first: torch.Tensor, layers: int) -> list[torch.Tensor]:
    found = [ids]
    for _ in range(layers):
        found.append(first @ found[-1])
    return found


def contrast(one: torch.Tensor, other: torch.Tensor, num_chosen: int) -> torch.Tensor:
    """With the nearest of all other nodes of the side, at temperature 0.5."""
    total = torch.zeros((), dtype=torch.float64)
    for side, nodes in SIDES:
        for node in nodes:
            others = [row for row in side if row != node]
            cosines = torch.cosine_similarity(one[node][None], other[others], dim=1) / 0.5
            own = torch.cosine_similarity(one[node], other[node], dim=0) / 0.5
            logits = torch.cat([own[None], cosines.topk(num_chosen).values])
            total = total - torch.log_softmax(logits, dim=0)[0] / len(nodes)
    return total


def test_loss_and_gradients_equal_the_formula_over_two_views():
    hard = {"negatives_by": "hard", "temperature_by": "fixed", "temperature": 0.5, "num_chosen": 5}
    ours = network(**hard, contrast_weight=0.7, drop_rate=0.4, view_layers=2)
    next(ours.epoch(np.random.default_rng(3)))

    def expected(ids: torch.Tensor) -> torch.Tensor:
        data = checkerboard()[0]
        generator, dense = np.random.default_rng(3), dense_adjacency(data)
        views = []
        for _ in range(2):
            cut = cut_graphs(data, "edge_drop", drop_rate=0.4, num_layers=2, generator=generator)[0]
            views.append(mean(propagated(ids, cut.matmul(torch.eye(62)).double(), 2)))
        return bpr(mean(propagated(ids, dense, 2)), ids, 41, reg=0.3) + 0.7 * contrast(*views, 5)

    check_loss_and_gradients(_WithIds(ours), expected, torch.Generator())


def test_loss_and_gradients_equal_the_formula_over_layers():
    hard = {"negatives_by": "hard", "temperature_by": "fixed", "temperature": 0.5, "num_chosen": 5}
    ours = network(**hard, contrast_weight=0.7, positive="layer", positive_layer=4)
    next(ours.epoch(np.random.default_rng(3)))

    def expected(ids: torch.Tensor) -> torch.Tensor:
        layers = propagated(ids, dense_adjacency(checkerboard()[0]), 4)
        return bpr(mean(layers[:3]), ids, 41, reg=0.3) + 0.7 * contrast(ids, layers[4], 5)

    check_loss_and_gradients(_WithIds(ours), expected, torch.Generator())


class _WithIds:
    """A network whose layer 0 stands where the check looks for it."""

    def __init__(self, of: Network) -> None:
        self.loss = of.loss
        self.layer_zero = of.backbone.layer_zero


def test_gradients_of_the_contrast_reach_ids_and_the_fusion():
    ours = network(features=parity_features(embedding_dim=3), drop_rate=0.4)
    next(ours.epoch(np.random.default_rng(3)))
    backbone = ours.backbone.loss(BATCH, torch.Generator())
    total = ours.loss(BATCH, torch.Generator().manual_seed(0))
    (total - backbone).backward()
    layer_zero = ours.backbone.layer_zero
    linear = layer_zero.fused[1]
    assert linear.scaled_own.shape == (4, 4), "a linear map of an item's ID embedding"
    assert linear.scaled_text.shape == (4, 3), "and of its vector"
    for gradient in (
        layer_zero.ids.grad[:41],
        layer_zero.ids.grad[41:],
        linear.scaled_own.grad,
        linear.scaled_text.grad,
        linear.bias.grad,
    ):
        assert gradient.abs().max() > 1e-6


def test_training_moves_ids_fusion_and_policies_each_by_its_own_adam():
    ours = network(features=parity_features(embedding_dim=3))
    before = {name: weight.clone() for name, weight in ours.named_parameters()}
    optimizer = torch.optim.Adam(ours.parameters(), lr=0.01)
    for batch in ours.epoch(np.random.default_rng(0)):
        train_step(ours.loss, optimizer, batch, torch.Generator().manual_seed(0), Config())
    unmoved = {name for name, weight in ours.named_parameters() if torch.equal(weight, before[name])}
    assert unmoved == set()
    policies = {name for name, _ in ours.named_parameters() if ".policy." in name}
    assert len(policies) > 10
    for name, weight in ours.named_parameters():
        if name in policies:
            assert weight not in optimizer.state, name
            assert (weight - before[name]).abs().max() < 1.01e-4, "one step of the policy's own size"


@pytest.mark.parametrize(
    "settings",
    [
        {"pools": "items"},
        {"pools": "items", "negatives_by": "in_batch"},
        {"negatives_by": "in_batch", "temperature_by": "learned"},
        {"negatives_by": "uniform", "temperature_by": "ideal"},
        {"negatives_by": "uniform", "temperature_by": "learned", "groups": "quantile", "num_groups": 3},
        {"advantage": "anchor", "num_samples": 3, "update_epochs": 2, "kl_weight": 0.1},
        {"advantage": "whitened", "groups": "none", "harmony_weight": 0, "entropy_weight": 0},
        {"augmentation": "random_walk", "backbone": "sgl", "backbone_settings": "contrast_weight=0"},
    ],
)
def test_other_forms_and_controls_train(settings):
    found = weights(Model(Config(**QUICK, **settings)), parity_features())
    assert np.isfinite(found["user_vectors"]).all()


def test_users_choose_among_items_in_the_released_form():
    ours = network(pools="items")
    users, items = ours.contrasts
    assert (users.agent is None, items.agent is None) == (False, True)
    next(ours.epoch(np.random.default_rng(3)))
    ours.loss(BATCH, torch.Generator().manual_seed(0))
    (episode,) = users.agent._episodes
    assert episode.state.candidates.shape == (21, 4)
    barred = episode.state.is_barred.nonzero()[:, 0].tolist()
    assert barred == [0, 1], "the item of each user's pair is no negative of the user"
    degrees = checkerboard()[0].item_degrees
    assert sorted(episode.state.candidate_degrees.tolist()) == sorted(degrees.tolist())


def test_training_goes_on_from_a_checkpoint_to_the_bit(tmp_path):
    config = Config(**(QUICK | {"epochs": 6}), buffer_size=64, policy_learning_rate=0.01)
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")

    def stop(done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 5:
            raise KeyboardInterrupt

    whole = weights(Model(config), parity_features())
    weights(Model(config), parity_features(), file, stop)
    resumed = weights(Model(config), parity_features(), file)
    assert whole.keys() == resumed.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name], err_msg=name)


def test_settings_reach_the_backbone():
    config = Config(
        backbone="sgl", embedding_dim=12, reg=0.5, backbone_settings="drop_rate=0.3, augmentation=node_drop"
    )
    found = backbone_config(config)
    assert (found.embedding_dim, found.reg, found.fusion) == (12, 0.5, "concat")
    assert (found.drop_rate, found.augmentation, found.num_layers) == (0.3, "node_drop", 3)
    assert backbone_config(Config(backbone="mixgcf")).num_negatives == 16, "its own default"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "gcn"}, r"backbone: Input should be 'lightgcn', 'sgl', .*\(The model that is trained"),
        ({"backbone_settings": "drop_rate"}, "has 'drop_rate'; lightgcn takes NAME=VALUE of negatives, num_"),
        ({"backbone_settings": "reg=1"}, "backbone_settings has 'reg=1'; lightgcn takes NAME=VALUE of "),
        (
            {"backbone_settings": "num_layers=-1"},
            "backbone_settings of lightgcn: num_layers: Input should be",
        ),
    ],
)
def test_settings_that_no_backbone_has_are_named(settings, message):
    with pytest.raises(UsageError, match=message):
        parse_settings(Config, settings)

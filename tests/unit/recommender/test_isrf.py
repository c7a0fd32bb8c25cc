"""The direct task, and what both tasks share; the sequential one: test_isrf_sequential.py."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from dense_graph import BATCH, bpr
from isrf_by_hand import (
    groups_by_hand,
    individual_by_hand,
    infonce_by_hand,
    ring,
    soft_dot_by_hand,
)
from pydantic import ValidationError

from featurestore.errors import StoreError, UsageError
from featurestore.progress import no_progress
from recommender.base import ReadsFeatures, ReadsHistories
from recommender.checkpoint import CheckpointFile
from recommender.features import EntityFeatures, NodeFeatures
from recommender.interests.direct import DirectNetwork
from recommender.interests.refinement import TurnBatch, take_turns
from recommender.models.isrf import Config, Model
from recommender.testing import COLD_ITEM, checkerboard, checkerboard_features, parity_features

TEXTS = np.random.default_rng(9).standard_normal((21, 5)).astype(np.float32)
NEIGHBORS = ring(41, 3)
SETTINGS = {
    "fusion": "replace",
    "embedding_dim": 4,
    "init_std": 0.5,
    "reg": 0.3,
    "num_layers": 2,
    "group_layers": 2,
    "temperature": 0.6,
    "distillation_weight": 0.7,
    "sequence_weight": 0.4,
    "aligned_users": 2,
}
QUICK = {"epochs": 20, "batch_size": 64, "learning_rate": 0.02, "eval_every": 10, "embedding_dim": 8}
ALIGN = {"infonce_cos": infonce_by_hand, "soft_dot": soft_dot_by_hand}
PARTS = "interests.layer_zero."
ADAPTER = PARTS + "adapter."
OWN = "interests.groups.own"


def network(**settings) -> DirectNetwork:
    return DirectNetwork(NEIGHBORS, Config(**(SETTINGS | settings)), checkerboard()[0], (None, TEXTS), seed=1)


def leaves(ours: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: w.detach().double().requires_grad_() for n, w in ours.named_parameters()}


def layer_zero_by_hand(weights: dict[str, torch.Tensor], texts: np.ndarray = TEXTS) -> torch.Tensor:
    inner, outer = (w / w.shape[1] for w in (weights[ADAPTER + "scaled_in"], weights[ADAPTER + "scaled_out"]))
    hidden = torch.from_numpy(texts).double() @ inner.T + weights[ADAPTER + "bias_in"]
    adapted = hidden @ outer.T + weights[ADAPTER + "bias_out"]
    return torch.cat([weights[PARTS + "ids"], adapted])


def check_gradients(ours: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    for name, weight in ours.named_parameters():
        found = torch.zeros_like(weight) if weight.grad is None else weight.grad
        expected = weights[name].grad
        expected = torch.zeros_like(found) if expected is None else expected.float()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("form", ["infonce_cos", "soft_dot"])
@pytest.mark.parametrize("turn", ["distil", "sequence"])
@pytest.mark.parametrize("group_weight", [0.0, 0.8])
def test_loss_and_gradients_equal_the_equations(form, turn, group_weight):
    ours = network(align=form, group_weight=group_weight)
    weights, data = leaves(ours), checkerboard()[0]
    loss = ours.loss(TurnBatch(BATCH, turn), torch.Generator())
    loss.backward()
    first = layer_zero_by_hand(weights)
    final = individual_by_hand(first, data, 2)
    groups = groups_by_hand(weights[OWN], NEIGHBORS, 2)
    ranked = final + group_weight * torch.cat([groups, torch.zeros(21, 4)])
    expected = bpr(ranked, first, 41, reg=0.3)
    if group_weight:
        expected = expected + 0.3 * sum(weights[OWN][user].square().sum() for user in BATCH.users) / 6
    users = [0, 1]
    means = torch.stack([final[[41 + item for item in data.seen.of(user)]].mean(dim=0) for user in users])
    teachers = final[users].detach() if turn == "distil" else means
    weight = {"distil": 0.7, "sequence": 0.4}[turn]
    expected = expected + weight * ALIGN[form](teachers, groups[users], 0.6)
    expected.backward()
    torch.testing.assert_close(loss.detach().double(), expected.detach(), atol=1e-5, rtol=1e-5)
    check_gradients(ours, weights)


def test_scores_are_of_both_interests():
    ours = network(group_weight=0.8)
    weights = leaves(ours)
    final = individual_by_hand(layer_zero_by_hand(weights), checkerboard()[0], 2)
    users, items = ours.score_vectors()
    expected = final[:41] + 0.8 * groups_by_hand(weights[OWN], NEIGHBORS, 2)
    torch.testing.assert_close(users.double(), expected.detach(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(items.double(), final[41:].detach(), atol=1e-6, rtol=1e-5)
    literal = network(group_weight=0.0).score_vectors()[0]
    torch.testing.assert_close(literal.double(), final[:41].detach(), atol=1e-6, rtol=1e-5)


def test_distillation_teaches_groups_and_nothing_else():
    taught, untaught = network(group_weight=0.0), network(group_weight=0.0, distillation_weight=0.0)
    for ours in (taught, untaught):
        ours.loss(TurnBatch(BATCH, "distil"), torch.Generator()).backward()
    for (name, one), (_, other) in zip(taught.named_parameters(), untaught.named_parameters(), strict=True):
        if name == OWN:
            assert one.grad.abs().sum() > 0
            assert other.grad is None or not other.grad.any()
        else:
            torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("adapter", ["linear", "relu", "none"])
def test_gradients_reach_every_weight_and_texts_are_none(adapter):
    ours = network(adapter=adapter, fusion="add")
    for turn in ("distil", "sequence"):
        ours.loss(TurnBatch(BATCH, turn), torch.Generator()).backward()
    weights = dict(ours.named_parameters())
    assert set(weights) >= {PARTS + "ids", OWN}
    assert not any(weight.shape[-2:] == TEXTS.shape for weight in weights.values())
    for name, weight in weights.items():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_losses_take_turns_and_either_begins():
    batches = [[b.turn for b in take_turns(iter(range(5)), np.random.default_rng(s))] for s in range(20)]
    assert {turns[0] for turns in batches} == {"distil", "sequence"}
    assert all(one != other for turns in batches for one, other in pairwise(turns))


def test_aligned_users_are_those_of_the_first_pairs():
    ours = network(aligned_users=2)
    assert ours._aligned(TurnBatch(BATCH, "distil")).tolist() == [0, 1]
    assert network(aligned_users=1)._aligned(TurnBatch(BATCH, "distil")).tolist() == [0]
    assert not len(network(sequence_weight=0.0)._aligned(TurnBatch(BATCH, "sequence")))


def fitted(features: NodeFeatures | None = None, **settings):
    model = Model(Config(**(QUICK | settings)))
    model.fit(checkerboard()[0], features=features, seed=0, progress=no_progress)
    return model


@pytest.mark.parametrize("user_graph", ["features", "interactions", "random", "none"])
@pytest.mark.parametrize("align", ["infonce_cos", "soft_dot"])
def test_every_graph_of_users_leaves_the_pattern_learnable(user_graph, align):
    data, answers = checkerboard()
    model = fitted(checkerboard_features(), user_graph=user_graph, align=align, num_neighbors=10)
    scores = model.score(np.arange(40))
    scores[data.train_users, data.train_items] = -np.inf
    assert (scores.argmax(axis=1) % 2 == answers % 2).mean() > 0.9
    assert set(model.arrays()) == {"weights", "pca", "user_graph"}
    width = 0 if user_graph == "none" else 10
    assert model.arrays()["user_graph"]["neighbors"].shape == (41, width)


def test_neighbours_are_of_the_same_kind():
    model = fitted(checkerboard_features(), num_neighbors=5)
    neighbors = model.arrays()["user_graph"]["neighbors"]
    assert (neighbors[:40] % 2 == np.arange(40)[:, None] % 2).all()
    assert (neighbors[40] == -1).all()  # without training events nobody has a vector


def test_vectors_of_users_make_the_graph_and_nothing_else():
    users = NodeFeatures(users=parity_users())
    model = fitted(users, num_neighbors=5)
    assert set(model.arrays()) == {"weights", "user_graph"}
    assert model.arrays()["weights"]["parameter.interests.layer_zero.ids"].shape == (62, 8)
    other = fitted(NodeFeatures(checkerboard_features().items, parity_users()), num_neighbors=5)
    neighbors = [of.arrays()["user_graph"]["neighbors"] for of in (model, other)]
    np.testing.assert_array_equal(neighbors[0], neighbors[1])


def parity_users() -> EntityFeatures:
    matrix = np.random.default_rng(5).standard_normal((41, 7)).astype(np.float32)
    return EntityFeatures(matrix, np.ones(41, np.bool_))


def test_other_vectors_are_read_by_the_same_weights_and_the_same_graph():
    data, _ = checkerboard()
    model = fitted(parity_features(), num_neighbors=4)
    assert isinstance(model, ReadsFeatures)
    assert not isinstance(model, ReadsHistories)
    same = model.with_features(data, parity_features())
    np.testing.assert_allclose(same.score(np.arange(41)), model.score(np.arange(41)), rtol=1e-4, atol=1e-5)
    other = model.with_features(data, parity_features(seed=4))
    assert not np.allclose(other.score(np.arange(41)), model.score(np.arange(41)), atol=1e-3)
    graphs = [of.arrays()["user_graph"]["neighbors"] for of in (model, other)]
    np.testing.assert_array_equal(graphs[0], graphs[1])


def test_text_places_an_item_that_nobody_had():
    scores = fitted(parity_features(), fusion="replace").score(np.arange(40))[
        :, COLD_ITEM
    ]  # an even item by its text
    assert scores[::2].mean() > scores[1::2].mean() + 0.2


@pytest.mark.parametrize("task", ["direct", "sequential"])
def test_training_that_was_stopped_goes_on_to_the_bit(task, tmp_path):
    data, _ = checkerboard()
    config = Config(**(QUICK | {"epochs": 6, "eval_every": 2, "patience": 9}), task=task, num_neighbors=5)
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")

    def stop(done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 3:
            raise KeyboardInterrupt

    found = []
    for checkpoint, progress in ((None, no_progress), (file, stop), (file, no_progress)):
        model = Model(config)
        model.fit(data, features=parity_features(), seed=3, progress=progress, checkpoint=checkpoint)
        found.append(model.arrays()["weights"])
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[2][name], err_msg=name)


def test_what_the_model_cannot_do_is_refused():
    with pytest.raises(StoreError, match=r"this isrf is empty\.\n  Call fit or load_arrays first"):
        Model(Config()).vectors()
    with pytest.raises(UsageError, match=r"none were given\.\n  Pass --user-features FEATURE or --features"):
        fitted()
    with pytest.raises(StoreError, match=r"this isrf was fitted without features\.\n  Train it with"):
        fitted(user_graph="none").with_features(checkerboard()[0], parity_features())
    with pytest.raises(ValidationError, match="task"):
        Config(task="both")

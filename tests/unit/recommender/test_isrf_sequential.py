from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from dense_graph import dense_adjacency
from isrf_by_hand import groups_by_hand, individual_by_hand, query_by_hand, ring
from test_isrf import ADAPTER, ALIGN, OWN, PARTS, QUICK, SETTINGS, check_gradients, layer_zero_by_hand, leaves

from featurestore.errors import StoreError
from featurestore.progress import no_progress
from recommender import testing
from recommender.base import ReadsFeatures, ReadsHistories
from recommender.data import Histories, TrainingData, group_by_time, training_data
from recommender.experiment import validation_metrics
from recommender.graph.hidden_edges import HiddenEdges
from recommender.graph.nodes import training_graph
from recommender.interests.refinement import TurnBatch
from recommender.interests.sequential import SequentialNetwork
from recommender.models.isrf import Config, Model
from recommender.registry import ModelEntry, find_model
from recommender.sequence.known_histories import KnownHistories, saved_known_histories
from recommender.sequence.sequences import SequenceBatch, SequenceSampler
from recommender.testing import CHECKS, COLD_USER, checkerboard, checkerboard_features

HISTORIES = [[1, 5, 2], [3], [], [0, 6, 2, 4, 1, 3], [2, 2], [5, 0, 1, 6], [4, 3, 0]]
TEXTS = np.random.default_rng(4).standard_normal((7, 5)).astype(np.float32)
NEIGHBORS = ring(7, 2)
MORE = {"max_length": 4, "dropout": 0.0, "softmax_temperature": 0.2, "task": "sequential"}


class SequentialDefaults(Config):
    task: Literal["direct", "sequential"] = "sequential"


def flat(histories: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return users, np.array([item for history in histories for item in history], np.int64)


def histories_of(histories: list[list[int]]) -> Histories:
    return group_by_time(*flat(histories), len(histories))


def small_data() -> TrainingData:
    none = np.array([], np.int64)
    return training_data(num_users=7, num_items=7, train=flat(HISTORIES), valid=(none, none))


def network(**settings) -> SequentialNetwork:
    config = Config(**(SETTINGS | MORE | settings))
    ours = SequentialNetwork(NEIGHBORS, config, small_data(), (None, TEXTS), seed=1)
    with torch.no_grad():  # the first biases would hide a part that is left out
        for weight in ours.encoder.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)), alpha=0.3)
    return ours


def batch_of(users: list[int]) -> SequenceBatch:
    """One batch of some users, by the sampler."""
    kept = [history if user in users else [] for user, history in enumerate(HISTORIES)]
    (batch,) = SequenceSampler(histories_of(kept), 1_000, 4).epoch(np.random.default_rng(3))
    assert sorted(batch.rows) == users
    return batch


def items_by_hand(first: torch.Tensor, hidden_users: list[int]) -> torch.Tensor:
    """(I, d) E, propagated without the edges of some users."""
    dense, layers = dense_adjacency(small_data()), [first]
    dense[hidden_users] = 0.0
    dense[:, hidden_users] = 0.0
    for _ in range(2):
        layers.append(dense @ layers[-1])
    return torch.stack(layers).mean(dim=0)[7:]


def encoder_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("encoder."): w for name, w in weights.items() if name.startswith("encoder.")}


@pytest.mark.parametrize("form", ["infonce_cos", "soft_dot"])
@pytest.mark.parametrize("turn", ["distil", "sequence"])
@pytest.mark.parametrize(("group_weight", "hidden_edges"), [(0.8, "batch"), (0.0, "none")])
def test_loss_and_gradients_equal_the_equations(form, turn, group_weight, hidden_edges):
    ours = network(align=form, group_weight=group_weight, hidden_edges=hidden_edges)
    weights, batch = leaves(ours), batch_of([0, 3, 5])
    loss = ours.loss(TurnBatch(batch, turn), torch.Generator())
    loss.backward()
    first = layer_zero_by_hand(weights, TEXTS)
    final = items_by_hand(first, [0, 3, 5] if hidden_edges == "batch" else [])
    items = final / final.norm(dim=1, keepdim=True)
    groups = groups_by_hand(weights[OWN], NEIGHBORS, 2)
    losses, squares = [], []
    for user in batch.rows:
        newest = HISTORIES[user][-5:]  # four that are read, and the last target
        for end in range(1, len(newest)):
            state = query_by_hand(encoder_weights(weights), items, newest[:end])
            scores = items @ (state + group_weight * groups[user])
            losses.append(-torch.log_softmax(scores / 0.2, dim=0)[newest[end]])
            squares.append(first[7 + newest[end]].square().sum())
        if group_weight:
            squares.append(weights[OWN][user].square().sum())
    expected = torch.stack(losses).mean() + 0.3 * torch.stack(squares).sum() / (2 * len(losses))
    assert len(losses) == 9
    aligned = [batch.rows[0], batch.rows[1]]  # two of three, at even distances
    means = torch.stack([final[HISTORIES[user][-5:][:-1]].mean(dim=0) for user in aligned])
    whole = individual_by_hand(first, small_data(), 2)[aligned].detach()
    teachers = whole if turn == "distil" else means
    weight = {"distil": 0.7, "sequence": 0.4}[turn]
    expected = expected + weight * ALIGN[form](teachers, groups[aligned], 0.6)
    expected.backward()
    torch.testing.assert_close(loss.detach().double(), expected.detach(), atol=1e-5, rtol=1e-5)
    check_gradients(ours, weights)


def test_scores_are_of_queries_and_groups():
    ours = network(group_weight=0.8)
    weights = leaves(ours)
    users, items = ours.score_vectors()
    whole = items_by_hand(layer_zero_by_hand(weights, TEXTS), [])
    whole = whole / whole.norm(dim=1, keepdim=True)
    groups = groups_by_hand(weights[OWN], NEIGHBORS, 2)
    torch.testing.assert_close(items.double(), whole.detach(), atol=1e-6, rtol=1e-5)
    for user, history in enumerate(HISTORIES):
        expected = 0.8 * groups[user]
        if history:
            expected = expected + query_by_hand(encoder_weights(weights), whole, history[-4:])
        torch.testing.assert_close(users[user].double(), expected.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["decay", "attention"])
def test_gradients_reach_every_weight_and_texts_are_none(pooling):
    ours = network(pooling=pooling, fusion="add")
    for turn in ("distil", "sequence"):
        ours.loss(TurnBatch(batch_of([0, 3, 5]), turn), torch.Generator()).backward()
    names = {name for name, _ in ours.named_parameters()}
    assert names >= {PARTS + "ids", OWN, ADAPTER + "scaled_in", "encoder.ages"}
    for name, weight in ours.named_parameters():
        assert weight.shape != TEXTS.shape, name
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_hidden_edges_are_those_of_the_users_in_both_directions():
    data = small_data()
    adjacency = training_graph(data)
    found = HiddenEdges(adjacency, 7).without(adjacency, torch.tensor([3, 0]))
    expected = dense_adjacency(data)
    expected[[0, 3]] = 0.0
    expected[:, [0, 3]] = 0.0
    torch.testing.assert_close(found.matmul(torch.eye(14)).double(), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(adjacency.matmul(torch.eye(14)).double(), dense_adjacency(data))


def test_batches_say_whose_their_histories_are():
    sampler = SequenceSampler(histories_of(HISTORIES), 4, 4)
    batches = list(sampler.epoch(np.random.default_rng(0)))
    assert len(batches) == sampler.num_batches == 3
    read = {}
    for batch in batches:
        for place, user in enumerate(batch.rows.tolist()):
            events = batch.lines == place
            read[user] = [*batch.sequences.items[events].tolist(), int(batch.targets[events][-1])]
            assert batch.targets[events][:-1].tolist() == read[user][1:-1]
    assert read == {user: HISTORIES[user][-5:] for user in (0, 3, 4, 5, 6)}


def test_a_history_is_recognised_by_how_it_begins():
    known = KnownHistories.of(histories_of(HISTORIES), 2)  # two events are kept of each
    longer = [[*history, 6] for history in HISTORIES]
    for known_again in (known, saved_known_histories(known.arrays())):
        found = known_again.recognised(histories_of(HISTORIES))
        assert found.tolist() == [True, True, False, True, True, True, True]
        assert known_again.recognised(histories_of(longer)).tolist() == found.tolist()
        changed = [*longer[:3], [0, 6, 2, 4, 3, 1, 6], [2], *longer[5:]]
        expected = [True, True, False, False, False, True, True]
        assert known_again.recognised(histories_of(changed)).tolist() == expected
        assert not known_again.recognised(histories_of(longer[:6])).any()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, monkeypatch):
    monkeypatch.setattr(testing, "_QUICK", testing._QUICK | {"epochs": "15"})
    entry: ModelEntry = replace(find_model("isrf"), config_type=SequentialDefaults)
    check(entry)


@pytest.fixture(scope="module")
def model():
    settings = QUICK | {"num_neighbors": 5, "task": "sequential", "max_length": 6, "group_weight": 2.0}
    made = Model(Config(**settings))
    made.fit(checkerboard()[0], features=checkerboard_features(), seed=0, progress=no_progress)
    return made


def groups_of(model) -> np.ndarray:
    return model.arrays()["groups"]["vectors"]


def test_validation_in_training_is_of_the_scores_that_are_kept():
    settings = QUICK | {"num_neighbors": 5, "task": "sequential"}
    made = Model(Config(**settings))
    data = checkerboard()[0]
    report = made.fit(data, features=checkerboard_features(), seed=1, progress=no_progress)
    assert report.best_metric == pytest.approx(validation_metrics(made, data)["ndcg@10"], abs=1e-6)


def test_known_users_are_asked_about_with_their_groups(model):
    data, _ = checkerboard()
    assert isinstance(model, ReadsHistories)
    assert isinstance(model, ReadsFeatures)
    histories = [data.histories.of(user).tolist() for user in range(41)]
    same = model.with_histories(histories_of(histories))
    np.testing.assert_allclose(same.score(np.arange(41)), model.score(np.arange(41)), rtol=1e-5, atol=1e-6)
    items = model.arrays()["weights"]["item_vectors"]
    groups = groups_of(model)
    strangers = model.with_histories(histories_of(histories[:40])).score(np.arange(40))
    difference = (groups[:40] - groups[:40].mean(axis=0)) @ items.T
    assert np.abs(difference).max() > 0.1
    np.testing.assert_allclose(model.score(np.arange(40)) - strangers, difference, rtol=1e-3, atol=1e-4)


def test_an_empty_history_is_an_average_user(model):
    average = model.score(np.arange(40)).mean(axis=0)
    np.testing.assert_allclose(model.score(np.array([COLD_USER]))[0], average, rtol=1e-3, atol=1e-4)
    asked = model.with_histories(histories_of([[], [2, 4]]))
    np.testing.assert_allclose(asked.score(np.array([0]))[0], average, rtol=1e-3, atol=1e-4)


def test_other_histories_are_asked_of_the_same_weights(model):
    asked = model.with_histories(histories_of([[2, 4, 6, 8], [3, 1], [2, 4, 6, 8]]))
    scores = asked.score(np.array([2, 1, 0]))
    even, odd = np.arange(0, 20, 2), np.arange(1, 20, 2)
    assert scores[0, even].mean() > scores[0, odd].mean() + 0.2
    assert scores[1, odd].mean() > scores[1, even].mean() + 0.2
    np.testing.assert_array_equal(scores[0], scores[2])
    again = Model(model.config)
    again.load_arrays(asked.arrays())
    np.testing.assert_array_equal(again.score(np.array([2, 1, 0])), scores)


def test_other_vectors_are_read_by_the_same_weights(model):
    same = model.with_features(checkerboard()[0], checkerboard_features())
    np.testing.assert_allclose(same.score(np.arange(41)), model.score(np.arange(41)), rtol=1e-4, atol=1e-5)


def test_an_empty_model_says_so():
    with pytest.raises(StoreError, match=r"this isrf is empty\.\n  Call fit or load_arrays first"):
        Model(Config(task="sequential")).with_histories(histories_of([[1]]))

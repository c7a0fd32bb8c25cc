"""Six models of what comes next once they are fitted: order, other histories, texts, and what is refused."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from test_sequential_baselines import MODELS, OF_USERS, every_model, flat

from featurestore.errors import StoreError, UsageError
from featurestore.progress import no_progress
from recommender.base import ReadsFeatures, ReadsHistories
from recommender.data import TrainingData, group_by_time, training_data
from recommender.features import EntityFeatures, NodeFeatures
from recommender.models import fdsa
from recommender.sequence.sequences import Sequences
from recommender.testing import COLD_USER, checkerboard, checkerboard_features, parity_features

QUICK = {"epochs": 20, "batch_size": 64, "learning_rate": 0.02, "eval_every": 10, "embedding_dim": 16}

NUM_STEPS, NUM_WALKS, NUM_READ = 20, 120, 5


def walks(*, shuffled: bool) -> tuple[TrainingData, np.ndarray]:
    """Histories that go round in a circle from anywhere, and the item that comes next in each.

    Shuffled, they hold the same items, of which the next one is no more likely than that before the first.
    """
    generator = np.random.default_rng(0)
    read = (generator.integers(NUM_STEPS, size=NUM_WALKS)[:, None] + np.arange(NUM_READ)) % NUM_STEPS
    answers = (read[:, -1] + 1) % NUM_STEPS
    if shuffled:
        read = generator.permuted(read, axis=1)
    none = np.array([], np.int64)
    train = flat(read.tolist())
    data = training_data(num_users=NUM_WALKS, num_items=NUM_STEPS, train=train, valid=(none, none))
    return data, answers


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("fpmc", {"num_negatives": 3}, "num_negatives=3 has no effect with objective=softmax"),
        ("caser", {"window": 9, "max_length": 8}, "window=9 is longer than max_length=8"),
        ("hgn", {"window": 51}, "window=51 is longer than max_length=50"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(name, settings, said):
    with pytest.raises(ValidationError, match=said):
        MODELS[name].Config(**settings)


@pytest.mark.parametrize(("shuffled", "least", "most"), [(False, 0.9, 1.0), (True, 0.0, 0.6)])
@every_model
def test_the_order_of_events_is_what_is_learned(name, shuffled, least, most):
    data, answers = walks(shuffled=shuffled)
    slower = {
        "epochs": 60,
        "eval_every": 60,
        "learning_rate": 0.005,
    }  # a step learns from hidden events alone
    settings = QUICK | (slower if name == "bert4rec" else {"epochs": 10}) | {"dropout": 0.0}
    model = MODELS[name].Model(MODELS[name].Config(**settings))
    texts = np.random.default_rng(1).standard_normal((NUM_STEPS, 8)).astype(np.float32)
    given = NodeFeatures(EntityFeatures(texts, np.ones(NUM_STEPS, np.bool_)))
    model.fit(data, features=given if name == "fdsa" else None, seed=0, progress=no_progress)
    users = np.arange(NUM_WALKS)
    scores = model.score(users)
    scores[users.repeat(NUM_READ), data.histories.items] = -np.inf
    assert least <= (scores.argmax(axis=1) == answers).mean() <= most


@every_model
def test_other_histories_are_asked_of_the_same_weights(name):
    data, _ = checkerboard()
    module = MODELS[name]
    epochs = {"bert4rec": 40, "hcgr": 10}.get(name, 20)  # a step of BERT4Rec learns from hidden events alone
    model = module.Model(module.Config(**(QUICK | {"epochs": epochs}), max_length=5))
    features = checkerboard_features() if name == "fdsa" else None
    model.fit(data, features=features, seed=0, progress=no_progress)
    assert isinstance(model, ReadsHistories)
    asked = [[2, 4, 6, 8, 10, 12], [3, 5], [], [4, 6, 8, 10, 12], data.histories.of(7).tolist(), [4, 4, 6]]
    other = model.with_histories(group_by_time(*flat(asked), len(asked)))
    scores = other.score(np.arange(6))
    even, odd = np.arange(0, 20, 2), np.arange(1, 20, 2)
    assert scores[0, even].mean() > scores[0, odd].mean() + 0.05
    assert scores[1, odd].mean() > scores[1, even].mean() + 0.05
    np.testing.assert_allclose(scores[0], scores[3], rtol=1e-4, atol=1e-4)
    average = model.score(np.arange(40)).mean(axis=0)
    np.testing.assert_allclose(scores[2], average, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.score(np.array([COLD_USER]))[0], average, rtol=1e-3, atol=1e-3)
    again = module.Model(model.config)
    again.load_arrays(other.arrays())
    np.testing.assert_array_equal(again.score(np.arange(6)), scores)
    if name not in OF_USERS:
        np.testing.assert_allclose(scores[4], model.score(np.array([7]))[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", OF_USERS)
def test_a_user_is_recognised_by_a_history_that_goes_on_and_others_are_the_mean(name):
    data, answers = checkerboard()
    module = MODELS[name]
    model = module.Model(module.Config(**(QUICK | {"epochs": 4})))
    model.fit(data, features=None, seed=0, progress=no_progress)
    histories = [data.histories.of(user).tolist() for user in range(41)]
    later = [[*history, int(answers[user])] if user < 40 else [] for user, history in enumerate(histories)]
    later[3] = later[3][::-1]  # nobody's
    asked = model.with_histories(group_by_time(*flat(later), 41))
    users = asked.arrays()["weights"]["parameter.users"]
    assert asked.arrays()["users"]["recognised"].tolist() == [*([1.0] * 3), 0.0, *([1.0] * 36), 0.0]
    items = asked.arrays()["weights"]["item_vectors"]
    encoder = module.Encoder(model.config, torch.Generator())
    network_weights = asked.arrays()["weights"]
    with torch.no_grad():
        for weight_name, weight in encoder.named_parameters():
            weight.copy_(torch.from_numpy(network_weights[f"parameter.encoder.{weight_name}"]))
    for user, vector in ((5, users[5]), (3, users[:40].mean(axis=0))):
        read = Sequences(np.array(later[user]), np.array([len(later[user])]))
        whose = torch.from_numpy(np.tile(vector, (len(later[user]), 1)))
        with torch.no_grad():
            state = encoder(torch.from_numpy(items), read, whose)[-1].numpy()
        np.testing.assert_allclose(
            asked.score(np.array([user]))[0], items[:, : len(state)] @ state, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(
    ("name", "fusion"),
    [("fpmc", "add"), ("caser", "concat"), ("hgn", "gate"), ("bert4rec", "replace")],
)
def test_texts_of_items_are_read_through_layer_zero(name, fusion):
    data, answers = checkerboard()
    module = MODELS[name]
    model = module.Model(module.Config(**QUICK, fusion=fusion))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))
    scores[data.train_users, data.train_items] = -np.inf
    assert (scores.argmax(axis=1) % 2 == answers % 2).mean() > 0.8  # of two colours, and one cold item
    assert isinstance(model, ReadsFeatures)
    same = model.with_features(data, parity_features())
    np.testing.assert_allclose(same.score(np.arange(41)), model.score(np.arange(41)), rtol=1e-4, atol=1e-4)


def test_features_have_a_stream_of_their_own():
    data, _ = checkerboard()
    model = fdsa.Model(fdsa.Config(**(QUICK | {"epochs": 2})))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    assert set(model.arrays()) == {"weights", "histories", "pca"}
    weights = model.arrays()["weights"]
    assert weights["item_vectors"].shape == (21, 32)
    assert weights["parameter.items.tables.0.ids"].shape == (21, 16)
    same = model.with_features(data, parity_features())
    np.testing.assert_allclose(same.score(np.arange(41)), model.score(np.arange(41)), rtol=1e-4, atol=1e-4)
    other = model.with_features(data, parity_features(seed=8))
    assert np.abs(other.score(np.arange(41)) - model.score(np.arange(41))).max() > 1e-3


@every_model
def test_what_a_model_cannot_do_is_refused(name):
    data, _ = checkerboard()
    module = MODELS[name]
    with pytest.raises(StoreError, match=rf"this {name} is empty\.\n  Call fit or load_arrays first"):
        module.Model(module.Config()).with_histories(data.histories)
    with pytest.raises(UsageError, match=rf"{name} uses no user features: .*\n  Leave --user-features out"):
        module.Model(module.Config()).fit(
            data, features=NodeFeatures(users=parity_features().items), seed=0, progress=no_progress
        )

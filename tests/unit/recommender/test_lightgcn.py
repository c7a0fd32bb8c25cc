import numpy as np
import pytest
import torch

from featurestore.progress import no_progress
from recommender.models.lightgcn import Config, Model, Network
from recommender.testing import COLD_ITEM, checkerboard, parity_features
from recommender.training.embedding_config import FUSIONS
from recommender.training.sampling import PairBatch

QUICK = {
    "epochs": 60,
    "batch_size": 64,
    "learning_rate": 0.02,
    "eval_every": 20,
    "embedding_dim": 16,
    "reg": 0.0,
}
NOISE = torch.Generator()
BATCH = PairBatch(np.array([0, 1]), np.array([2, 5]), np.array([[1], [4]]))


def test_text_places_an_item_that_nobody_had():
    data, _ = checkerboard()
    model = Model(Config(**QUICK, fusion="replace"))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))[:, COLD_ITEM]  # an even item by its text
    assert scores[::2].mean() > scores[1::2].mean() + 0.5


@pytest.mark.parametrize("fusion", FUSIONS)
def test_features_leave_the_pattern_learnable(fusion):
    data, answers = checkerboard()
    model = Model(Config(**QUICK, fusion=fusion))
    report = model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))
    scores[data.train_users, data.train_items] = -np.inf
    assert (scores.argmax(axis=1) % 2 == answers % 2).mean() > 0.9
    assert report.best_metric is not None
    assert set(model.arrays()) == {"weights", "pca"}


def test_zero_layers_are_matrix_factorisation():
    data, _ = checkerboard()
    network = Network(Config(embedding_dim=4, num_layers=0), data, (None, None), seed=0)
    users, items = network.score_vectors()
    torch.testing.assert_close(users, network.layer_zero.ids.detach()[:41])
    torch.testing.assert_close(items, network.layer_zero.ids.detach()[41:])


def test_a_user_without_events_is_an_average_user():
    data, _ = checkerboard()
    model = Model(Config(**{**QUICK, "epochs": 1}))
    model.fit(data, features=None, seed=0, progress=no_progress)
    users, _ = model.vectors()
    torch.testing.assert_close(users[40], users[:40].mean(dim=0))


def test_loss_equals_the_formula():
    data, _ = checkerboard()
    network = Network(Config(embedding_dim=4, num_layers=2, reg=0.7), data, (None, None), seed=1)
    users, items = network.score_vectors()
    first = network.layer_zero.ids.detach()
    negatives = BATCH.negatives[:, 0]
    scores = (users[BATCH.users] * (items[BATCH.positives] - items[negatives])).sum(dim=1)
    rows = torch.cat([first[BATCH.users], first[41 + BATCH.positives], first[41 + negatives]])
    expected = -torch.log(torch.sigmoid(scores)).mean() + 0.7 * rows.square().sum() / (2 * 2)
    torch.testing.assert_close(network.loss(BATCH, NOISE).detach(), expected)


def test_the_highest_scored_negative_counts():
    data, _ = checkerboard()
    network = Network(Config(embedding_dim=4, reg=0.0), data, (None, None), seed=1)
    users, items = network.score_vectors()
    both = PairBatch(BATCH.users, BATCH.positives, np.array([[1, 3], [4, 8]]))
    scores = users[both.users] @ items.T
    lines = np.arange(2)
    hardest = both.negatives[lines, scores[lines[:, None], both.negatives].argmax(dim=1).numpy()]
    one = PairBatch(both.users, both.positives, hardest[:, None])
    torch.testing.assert_close(network.loss(both, NOISE), network.loss(one, NOISE))


@pytest.mark.parametrize("objective", ["bce", "sampled_softmax"])
@pytest.mark.parametrize("negatives", ["popularity", "in_batch"])
def test_other_objectives_and_negatives_learn_the_pattern(objective, negatives):
    data, answers = checkerboard()
    settings = QUICK | {"objective": objective, "negatives": negatives, "num_negatives": 3}
    model = Model(Config(**settings))
    model.fit(data, features=None, seed=0, progress=no_progress)
    scores = model.score(np.arange(40))
    scores[data.train_users, data.train_items] = -np.inf
    assert (scores.argmax(axis=1) == answers).mean() > 0.9

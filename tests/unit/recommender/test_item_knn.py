import numpy as np
import pytest

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.data import training_data
from recommender.models.item_knn import Config, Model
from recommender.testing import checkerboard, parity_features

NUM_USERS, NUM_ITEMS = 25, 9


@pytest.fixture
def matrix(rng):
    full = rng.random((NUM_USERS, NUM_ITEMS)) < 0.35
    full[3] = False  # a user without events
    full[:, 7] = False  # an item without events
    return full


def fitted(matrix: np.ndarray, config: Config) -> Model:
    users, items = np.nonzero(matrix)
    none = np.array([], np.int64)
    data = training_data(num_users=NUM_USERS, num_items=NUM_ITEMS, train=(users, items), valid=(none, none))
    model = Model(config)
    model.fit(data, features=None, seed=0, progress=no_progress)
    return model


def slow_scores(matrix: np.ndarray, neighbors: int, shrinkage: float) -> np.ndarray:
    degrees = matrix.sum(axis=0)
    scores = np.zeros(matrix.shape)
    for i in range(NUM_ITEMS):
        near = []
        for j in range(NUM_ITEMS):
            both = int((matrix[:, i] & matrix[:, j]).sum())
            if i != j and both:
                near.append((-np.float32(both / (np.sqrt(degrees[i] * degrees[j]) + shrinkage)), j))
        for negative, j in sorted(near)[:neighbors]:
            scores[matrix[:, j], i] -= negative
    scores[~matrix.any(axis=1)] = scores[matrix.any(axis=1)].mean(axis=0)
    return scores


@pytest.mark.parametrize(("neighbors", "shrinkage"), [(100, 0.0), (2, 0.0), (3, 5.0)])
def test_scores_equal_a_slow_sum_over_neighbours(matrix, neighbors, shrinkage):
    model = fitted(matrix, Config(neighbors=neighbors, shrinkage=shrinkage))
    scores = model.score(np.arange(NUM_USERS))
    np.testing.assert_allclose(scores, slow_scores(matrix, neighbors, shrinkage), rtol=1e-5, atol=1e-6)


def test_features_are_refused():
    data, _ = checkerboard()
    with pytest.raises(UsageError, match=r"item_knn uses no item features\.\n  Leave --features out"):
        Model(Config()).fit(data, features=parity_features(), seed=0, progress=no_progress)

import numpy as np
import pytest

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.data import group_by_user, training_data
from recommender.graph.sparse import profile_rows
from recommender.models import ease
from recommender.models.ease import Config, Model, item_weights
from recommender.testing import checkerboard, parity_features

NUM_USERS, NUM_ITEMS, REG = 30, 8, 2.5


@pytest.fixture
def matrix(rng):
    full = rng.random((NUM_USERS, NUM_ITEMS)) < 0.4
    full[3] = False  # a user without events
    full[:, 6] = False  # an item without events
    return full


def slow_weights(matrix: np.ndarray) -> np.ndarray:
    """Ridge regression of every item on all the others, one at a time: the problem that EASE solves."""
    weights = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for item in range(NUM_ITEMS):
        others = [j for j in range(NUM_ITEMS) if j != item]
        seen = matrix[:, others].astype(float)
        target = seen.T @ matrix[:, item]
        weights[others, item] = np.linalg.solve(seen.T @ seen + REG * np.eye(len(others)), target)
    return weights


@pytest.mark.parametrize("block", [1024, 3])
def test_weights_equal_a_ridge_regression_per_item(matrix, block, monkeypatch):
    monkeypatch.setattr(ease, "_BLOCK", block)
    rows = group_by_user(*np.nonzero(matrix), NUM_USERS)
    found = item_weights(profile_rows(rows.indptr, rows.items, NUM_ITEMS), REG)
    np.testing.assert_allclose(found, slow_weights(matrix), rtol=1e-5, atol=1e-7)
    assert (np.diagonal(found) == 0).all()


def test_scores_are_the_product_and_the_average_user_is_the_mean(matrix):
    none = np.array([], np.int64)
    data = training_data(
        num_users=NUM_USERS, num_items=NUM_ITEMS, train=np.nonzero(matrix), valid=(none, none)
    )
    model = Model(Config(reg=REG))
    model.fit(data, features=None, seed=0, progress=no_progress)
    expected = matrix @ slow_weights(matrix)
    expected[~matrix.any(axis=1)] = expected[matrix.any(axis=1)].mean(axis=0)
    np.testing.assert_allclose(model.score(np.arange(NUM_USERS)), expected, rtol=1e-4, atol=1e-6)


def test_a_catalogue_that_does_not_fit_is_refused_before_memory_is_taken():
    none, one = np.array([], np.int64), np.array([0])
    data = training_data(num_users=1, num_items=40_000, train=(one, one), valid=(none, none))
    with pytest.raises(UsageError) as caught:
        Model(Config()).fit(data, features=None, seed=0, progress=no_progress)
    assert str(caught.value) == (
        "ease of 40,000 items needs 19,200,000,000 bytes of memory; max_items is 30,000.\n"
        "  Pass --set max_items=40000 if that fits, or train item_knn, which is sparse."
    )


def test_a_matrix_that_cannot_be_inverted_is_told():
    rows = profile_rows(np.array([0, 2]), np.array([0, 1]), 2)  # two equal columns
    with pytest.raises(UsageError, match=r"with reg=1e-300 the items' matrix cannot be inverted\.\n  Pass a"):
        item_weights(rows, 1e-300)


def test_features_are_refused():
    data, _ = checkerboard()
    with pytest.raises(UsageError, match=r"ease uses no item features\.\n  Leave --features out"):
        Model(Config()).fit(data, features=parity_features(), seed=0, progress=no_progress)

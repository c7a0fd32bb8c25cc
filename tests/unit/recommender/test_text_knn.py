import numpy as np
import pytest

from featurestore.errors import StoreError, UsageError
from featurestore.progress import no_progress
from recommender.base import ReadsFeatures
from recommender.data import TrainingData, training_data
from recommender.features import EntityFeatures, NodeFeatures
from recommender.models.text_knn import Config, Model
from recommender.testing import checkerboard

NUM_ITEMS = 10
HISTORIES = ([0, 3, 5, 6], [], [9], [1, 9, 2], [4])
"""Item 9 has no vector, item 8 a vector of zeros."""


@pytest.fixture
def data() -> TrainingData:
    users = np.repeat(np.arange(len(HISTORIES)), [len(items) for items in HISTORIES])
    items = np.concatenate([np.array(items, np.int64) for items in HISTORIES])
    none = np.array([], np.int64)
    return training_data(
        num_users=len(HISTORIES), num_items=NUM_ITEMS, train=(users, items), valid=(none, none)
    )


@pytest.fixture
def features(rng) -> NodeFeatures:
    matrix = rng.standard_normal((NUM_ITEMS, 4)).astype(np.float32)
    matrix[8:] = 0
    return NodeFeatures(items=EntityFeatures(matrix, np.arange(NUM_ITEMS) != 9))


def slow_scores(features: NodeFeatures, neighbors: int | None) -> np.ndarray:
    assert features.items is not None
    vectors = [row / np.linalg.norm(row) for row in features.items.matrix[:8].astype(float)]
    known = [[vectors[i] for i in items if i < 8] for items in HISTORIES]
    average = np.mean([np.mean(items, axis=0) for items in known if items], axis=0)
    scores = np.full((len(HISTORIES), NUM_ITEMS), -1.0)
    for user, items in enumerate(known):
        for item, vector in enumerate(vectors):
            if items and neighbors is not None:
                cosines = sorted((float(vector @ other) for other in items), reverse=True)
                scores[user, item] = np.mean(cosines[:neighbors])
            else:
                profile = np.mean(items, axis=0) if items else average
                scores[user, item] = vector @ profile / np.linalg.norm(profile)
    return scores


@pytest.mark.parametrize("neighbors", [None, 1, 2, 50])
def test_scores_equal_slow_cosines(data, features, neighbors):
    model = Model(Config(neighbors=neighbors))
    model.fit(data, features=features, seed=0, progress=no_progress)
    scores = model.score(np.arange(len(HISTORIES)))
    np.testing.assert_allclose(scores, slow_scores(features, neighbors), rtol=1e-5, atol=1e-6)


def test_other_vectors_are_read_as_if_they_had_been_there(data, features):
    model = Model(Config())
    with pytest.raises(StoreError, match=r"this text_knn model is empty\.\n  Call fit"):
        model.with_features(data, features)
    assert features.items is not None
    turned = EntityFeatures(-features.items.matrix[:, ::-1].copy(), features.items.has_vector)
    model.fit(data, features=NodeFeatures(items=turned), seed=0, progress=no_progress)
    assert isinstance(model, ReadsFeatures)
    other = model.with_features(data, features)
    np.testing.assert_allclose(
        other.score(np.arange(len(HISTORIES))), slow_scores(features, None), rtol=1e-5, atol=1e-6
    )


def test_it_says_what_to_pass():
    data, _ = checkerboard()
    message = r"text_knn compares item vectors, and none were given\.\n  Pass --features FEATURE"
    for nothing in (None, NodeFeatures()):
        with pytest.raises(UsageError, match=message):
            Model(Config()).fit(data, features=nothing, seed=0, progress=no_progress)


def test_user_vectors_are_refused(data, features):
    users = EntityFeatures(np.ones((len(HISTORIES), 4), np.float32), np.ones(len(HISTORIES), np.bool_))
    both = NodeFeatures(items=features.items, users=users)
    with pytest.raises(UsageError, match="text_knn uses no user features: a user is the items"):
        Model(Config()).fit(data, features=both, seed=0, progress=no_progress)

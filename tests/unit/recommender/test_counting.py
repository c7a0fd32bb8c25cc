import numpy as np
import pytest

from featurestore.errors import StoreError, UsageError
from featurestore.progress import no_progress
from recommender.base import ReadsHistories
from recommender.data import Histories, TrainingData, group_by_time, training_data
from recommender.models import counting
from recommender.models.counting import Config, Model, transition_weights
from recommender.testing import checkerboard, parity_features

NUM_ITEMS = 7


@pytest.fixture
def histories(rng):
    """Repeats among them, an empty one, one of a single event."""
    return [list(rng.integers(NUM_ITEMS - 1, size=length)) for length in (5, 0, 1, 9, 2, 4, 30)]


def flat(histories: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return users, np.array([item for history in histories for item in history], np.int64)


def data_of(histories: list[list[int]]) -> TrainingData:
    none = np.array([], np.int64)
    return training_data(
        num_users=len(histories), num_items=NUM_ITEMS, train=flat(histories), valid=(none, none)
    )


def slow_transitions(histories: list[list[int]]) -> np.ndarray:
    counts = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for history in histories:
        for later, item in enumerate(history):
            for earlier in range(later):
                counts[history[earlier], item] += 1 / (later - earlier)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)


def slow_cosines(histories: list[list[int]]) -> np.ndarray:
    users = [{u for u, history in enumerate(histories) if item in history} for item in range(NUM_ITEMS)]
    return np.array(
        [
            [0.0 if a is b else len(a & b) / np.sqrt(max(len(a), 1) * max(len(b), 1)) for b in users]
            for a in users
        ]
    )


def slow_scores(histories: list[list[int]], asked: list[list[int]], decay: float) -> np.ndarray:
    follows, goes_with = slow_transitions(histories), slow_cosines(histories)
    popularity = np.array([sum(item in history for history in histories) for item in range(NUM_ITEMS)])
    scores = np.tile(1e-9 * popularity, (len(asked), 1))
    for line, history in enumerate(asked):
        for table in (follows, goes_with):
            found = np.zeros(NUM_ITEMS)
            for age, item in enumerate(reversed(history)):
                found += decay**age * table[item]
            if found.max() > 0:
                scores[line] += found / found.max()
    return scores


def fitted(histories: list[list[int]], decay: float = 0.7) -> Model:
    model = Model(Config(decay=decay))
    model.fit(data_of(histories), features=None, seed=0, progress=no_progress)
    return model


@pytest.mark.parametrize("at_a_time", [4_000_000, 10])
def test_transitions_equal_a_loop_over_ordered_pairs(histories, at_a_time, monkeypatch):
    monkeypatch.setattr(counting, "_PAIRS_AT_A_TIME", at_a_time)
    found = transition_weights(group_by_time(*flat(histories), len(histories)), NUM_ITEMS)
    np.testing.assert_allclose(
        found.times_dense(np.eye(NUM_ITEMS, dtype=np.float32)), slow_transitions(histories), rtol=1e-6
    )


@pytest.mark.parametrize("decay", [0.7, 1.0])
def test_a_fitted_model_answers_for_training_histories(histories, decay):
    scores = fitted(histories, decay).score(np.arange(len(histories)))
    np.testing.assert_allclose(scores, slow_scores(histories, histories, decay), rtol=1e-5, atol=1e-12)


def test_other_histories_are_asked_of_the_same_counts(histories):
    model = fitted(histories)
    asked = [[1, 2], [], [6], [*histories[3], 0]]  # nobody had item 6
    users, items = flat(asked)
    other = model.with_histories(group_by_time(users, items, len(asked)))
    assert isinstance(model, ReadsHistories)
    np.testing.assert_allclose(
        other.score(np.arange(4)), slow_scores(histories, asked, 0.7), rtol=1e-5, atol=1e-12
    )
    again = Model(Config())
    again.load_arrays(other.arrays())
    np.testing.assert_array_equal(again.score(np.arange(4)), other.score(np.arange(4)))


def test_an_empty_history_gets_the_popular():
    scores = fitted([[0, 3], [3, 1], [3], []]).score(np.array([3]))
    np.testing.assert_allclose(scores[0], [1e-9, 1e-9, 0, 3e-9, 0, 0, 0], rtol=1e-6)


def test_histories_without_pairs_are_taken():
    model = fitted([[2], [4]])
    np.testing.assert_allclose(model.score(np.array([0]))[0], [0, 0, 1e-9, 0, 1e-9, 0, 0], rtol=1e-6)


def test_an_empty_model_and_features_are_refused():
    data, _ = checkerboard()
    with pytest.raises(StoreError, match=r"this counting model is empty\.\n  Call fit"):
        Model(Config()).with_histories(Histories(np.array([0]), np.array([], np.int64)))
    with pytest.raises(UsageError, match=r"counting uses no item features\.\n  Leave --features out"):
        Model(Config()).fit(data, features=parity_features(), seed=0, progress=no_progress)

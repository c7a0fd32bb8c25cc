import numpy as np
import pytest

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.models.random import Config, Model, outputs
from recommender.testing import checkerboard, parity_features

SEED = 2**61 + 12345


def splitmix(state: int, place: int) -> int:
    """Python's own whole numbers, one at a time."""
    mask = 2**64 - 1
    z = (state + (place + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def drawn(seed: int) -> Model:
    data, _ = checkerboard()
    model = Model(Config())
    model.fit(data, features=None, seed=seed, progress=no_progress)
    return model


def test_the_sequence_is_the_published_one():
    # The first outputs for 1234567, as in public listings of the generator.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    states = np.array([1234567], np.uint64)
    assert outputs(states, np.arange(3, dtype=np.uint64)).tolist() == expected


def test_scores_are_the_top_bits_of_seed_user_and_item():
    scores = drawn(SEED).score(np.array([5, 0]))
    for line, user in enumerate((5, 0)):
        for item in (0, 3, 20):
            expected = (splitmix(splitmix(SEED, user), item) >> 40) / 2**24
            assert scores[line, item] == expected


def test_scores_are_uniform_and_unlike_for_seeds_and_users():
    first, second = drawn(0).score(np.arange(40)), drawn(1).score(np.arange(40))
    assert 0 <= first.min() < 0.01
    assert 0.99 < first.max() < 1
    assert first.mean() == pytest.approx(0.5, abs=0.03)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(first[0], first[1])[0, 1]) < 0.7
    assert len(np.unique(first)) == first.size


def test_a_seed_of_64_bits_survives_float32():
    model, other = drawn(SEED), Model(Config())
    assert model.arrays()["weights"]["seed_digits"].tolist() == [12345, 0, 0, 8192]
    other.load_arrays(model.arrays())
    np.testing.assert_array_equal(other.score(np.arange(3)), model.score(np.arange(3)))


def test_features_are_refused():
    data, _ = checkerboard()
    with pytest.raises(UsageError, match=r"random uses no item features\.\n  Leave --features out"):
        Model(Config()).fit(data, features=parity_features(), seed=0, progress=no_progress)

import numpy as np
import pytest

from recommender.evaluation.significance import PairedTest, holm, paired_tests


def slow_means(difference, draws, seed):
    """Means over users drawn one by one from a generator of its own."""
    generator = np.random.default_rng(seed)
    return [
        difference[generator.integers(len(difference), size=len(difference))].mean() for _ in range(draws)
    ]


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_the_interval_is_that_of_drawing_users_one_by_one(rng, share):
    theirs = rng.random(400)
    ours = theirs + (rng.random(400) < share) * rng.normal(0.02, 0.1, 400)
    found = paired_tests({"a": ours}, theirs)["a"]
    expected = np.quantile(slow_means(ours - theirs, 4000, 5), [0.025, 0.975])
    assert found.difference == pytest.approx((ours - theirs).mean())
    assert [found.low, found.high] == pytest.approx(expected, abs=0.0012)


def test_p_values_are_right_under_no_difference(rng):
    p_values = []
    for _ in range(300):
        difference = rng.normal(0, 1, 80) * (rng.random(80) < 0.5)
        p_values.append(paired_tests({"a": difference}, np.zeros(80), num_draws=400)["a"].p_value)
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.055, abs=0.035)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)


def test_prefixes_of_a_session_are_drawn_together(rng):
    units = np.repeat(np.arange(30), 20)
    difference = np.repeat(rng.normal(0, 1, 30), 20)  # a session's values are one value
    together = paired_tests({"a": difference}, np.zeros(600), units=units)["a"]
    apart = paired_tests({"a": difference}, np.zeros(600))["a"]
    of_sessions = paired_tests({"a": difference[::20]}, np.zeros(30))["a"]
    assert together.high - together.low == pytest.approx(of_sessions.high - of_sessions.low, rel=0.1)
    assert apart.high - apart.low < 0.35 * (together.high - together.low)


def test_units_of_unequal_size_weigh_by_their_size():
    units = np.array([0, 0, 0, 1])
    found = paired_tests({"a": np.array([1.0, 1.0, 1.0, 0.0])}, np.zeros(4), units=units)["a"]
    assert found.difference == pytest.approx(0.75)
    assert (found.low, found.high) == (0.0, 1.0)


def test_holm_steps_down():
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.9})
    assert corrected == pytest.approx({"a": 0.04, "c": 0.09, "b": 0.09, "d": 0.9})


def test_marks():
    marks = [PairedTest(0, 0, 0, p, p).mark for p in (0.0099, 0.01, 0.0499, 0.05)]
    assert marks == ["**", "*", "*", ""]


def test_equal_models_and_no_users_differ_by_nothing():
    values = np.array([0.0, 1.0, 0.5])
    assert paired_tests({"a": values}, values)["a"] == PairedTest(0.0, 0.0, 0.0, 1.0, 1.0)
    assert paired_tests({"a": np.zeros(0)}, np.zeros(0))["a"].p_value == 1.0


@pytest.mark.parametrize(
    ("num_users", "least", "mark"), [(1, 1.0, ""), (2, 0.5, ""), (5, 0.0625, ""), (7, 2**-6, "*")]
)
def test_few_users_of_one_sign_prove_no_more_than_their_signs(num_users, least, mark):
    same = np.zeros(20)  # users who do not differ add nothing
    difference = np.concatenate([np.full(num_users, 0.01), same])
    test = paired_tests({"a": difference}, np.zeros(len(difference)))["a"]
    alone = paired_tests({"a": difference[:num_users]}, np.zeros(num_users))["a"]
    assert test.p_value >= least
    assert (alone.p_value, alone.mark) == (least, mark)
    sessions = np.repeat(np.arange(num_users), 9)
    apart = paired_tests({"a": np.full(len(sessions), 0.01)}, np.zeros(len(sessions)), units=sessions)["a"]
    assert apart.p_value == least

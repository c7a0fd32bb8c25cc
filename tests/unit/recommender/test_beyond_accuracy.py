from math import log2

import numpy as np
import pytest
import torch

from recommender.data import UserItems
from recommender.evaluate import top_lists
from recommender.evaluation.beyond_accuracy import gini, list_measures, popularity_percentiles

DEGREES = np.array([4, 1, 1, 0])


def measures(lists, *, profiles, cutoffs=(2,)):
    indptr = np.cumsum([0, *map(len, profiles)])
    items = UserItems(indptr, np.array([i for own in profiles for i in own], np.int64))
    return list_measures(
        np.array(lists, np.int64).reshape(-1, 2),
        profiles=items,
        users=np.arange(len(lists)),
        item_degrees=DEGREES,
        num_train_users=4,
        cutoffs=cutoffs,
    )


def test_percentiles_are_mid_ranks():
    assert popularity_percentiles(DEGREES).tolist() == [3.5 / 4, 2 / 4, 2 / 4, 0.5 / 4]
    assert popularity_percentiles(DEGREES).mean() == 0.5


def test_measures_by_hand():
    found = measures([[0, 1], [0, 3]], profiles=[[1], []])
    assert found["coverage@2"] == 3 / 4
    assert found["novelty@2"] == pytest.approx(((-log2(4 / 4) - log2(1 / 4)) + (0 - log2(1 / 4))) / 4)
    average_user = (4 * 3.5 + 2 + 2) / 4 / 6  # over all six training events
    expected = ((3.5 + 2) / 8 - 0.5 + (3.5 + 0.5) / 8 - average_user) / 2
    assert found["popularity_bias@2"] == pytest.approx(expected)


def test_a_list_that_ends_early_is_as_long_as_it_is():
    found = measures([[2, -1]], profiles=[[0]])
    assert found["coverage@2"] == 1 / 4
    assert found["novelty@2"] == pytest.approx(2.0)
    assert found["popularity_bias@2"] == pytest.approx(2 / 4 - 3.5 / 4)


def test_no_lists_measure_nothing():
    assert set(measures([], profiles=[]).values()) == {0.0}


def test_gini_is_the_mean_difference_of_pairs(rng):
    amounts = rng.integers(0, 20, 30)
    pairs = np.abs(amounts[:, None] - amounts[None, :]).mean()
    assert gini(amounts) == pytest.approx(pairs / (2 * amounts.mean()))
    assert gini(np.array([0, 0])) == 0.0


@pytest.mark.parametrize("top_k", [1, 4, 9, 20])
def test_lists_hold_equal_scores_in_order_of_their_rows(rng, top_k):
    scores = rng.integers(0, 4, (50, 9)).astype(np.float32)
    scores[rng.random((50, 9)) < 0.3] = -np.inf
    found = top_lists(torch.from_numpy(scores.copy()), top_k)
    for row, items in zip(scores, found, strict=True):
        ranked = [i for i in sorted(range(9), key=lambda i: (-row[i], i)) if row[i] > -np.inf]
        expected = ranked[:top_k]
        assert items.tolist() == expected + [-1] * (min(top_k, 9) - len(expected))

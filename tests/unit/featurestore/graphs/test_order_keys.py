"""Integer keys sort as (score, row) pairs do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featurestore.graphs import order_keys

SCORES = st.floats(-2, 2, width=32)


@given(st.lists(st.tuples(SCORES, st.integers(0, 2**32 - 2)), min_size=1, max_size=40))
def test_ascending_keys_are_descending_scores_then_ascending_rows(pairs: list[tuple[float, int]]) -> None:
    scores = np.array([score for score, _ in pairs], np.float32)
    rows = np.array([row for _, row in pairs], np.int64)
    keys = np.sort(order_keys.encode(scores, rows))
    back, scores_back = order_keys.decode(keys)
    assert list(zip(-scores_back, back, strict=True)) == sorted(
        (-score, row) for score, row in zip(scores, rows, strict=True)
    )


def test_nobody_sorts_last_and_comes_back_as_nobody() -> None:
    keys = order_keys.encode(np.float32([-1.0, 1.0]), np.array([5, -1]))
    assert keys[1] == order_keys.NONE > keys[0]
    rows, scores = order_keys.decode(keys)
    assert (rows.tolist(), scores.tolist()) == ([5, -1], [-1.0, 0.0])


@given(bound=st.floats(-1, 1), score=SCORES, row=st.integers(0, 2**32 - 2))
def test_a_bound_comes_before_everything_that_is_not_above_it(bound: float, score: float, row: int) -> None:
    """Scores that round to float32 from a value within the bound are behind it."""
    boundary = order_keys.below(np.array([bound]))[0]
    key = order_keys.encode(np.float32([score]), np.array([row]))[0]
    if score <= np.float32(bound):
        assert key > boundary
    if score > np.nextafter(np.float32(bound), np.float32(np.inf)):
        assert key <= boundary


def test_no_bound_leaves_out_nobody() -> None:
    assert order_keys.below(np.array([-np.inf]))[0] == order_keys.NONE

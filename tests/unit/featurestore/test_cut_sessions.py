"""Sessions out of interactions, against loops over rows."""

import numpy as np
import polars as pl
import pytest

from featurestore.errors import RowContractError, UsageError
from featurestore.sessions import core, cut_at_gaps


def test_a_session_ends_where_nothing_follows_for_long():
    events = pl.DataFrame(
        {
            "user_id": ["b", "a", "a", "b", "a", "a", "a"],
            "item_id": ["1", "2", "3", "4", "5", "6", "7"],
            "timestamp": [50, 100, 0, 1850, 4000, 100, 1900],
            "rating": [1, 2, 3, 4, 5, 6, 7],
        }
    )
    found = cut_at_gaps(events)
    assert found.select("user_id", "item_id").rows() == [
        ("a/0", "3"),
        ("a/0", "2"),
        ("a/0", "6"),  # the same second: in the order of the rows
        ("a/0", "7"),  # 1,800 s later: still the same session
        ("a/1", "5"),
        ("b/0", "1"),
        ("b/0", "4"),
    ]
    assert found["rating"].to_list() == [3, 2, 6, 7, 5, 1, 4]
    assert cut_at_gaps(events, gap_seconds=10_000)["user_id"].unique().sort().to_list() == ["a/0", "b/0"]


def test_without_times_there_are_no_gaps():
    with pytest.raises(RowContractError, match="needs a 'timestamp', and there is no such column"):
        cut_at_gaps(pl.DataFrame({"user_id": []}))
    with pytest.raises(RowContractError, match="needs a 'timestamp', and 1 of 2 have none"):
        cut_at_gaps(pl.DataFrame({"user_id": ["a", "a"], "timestamp": [1, None]}))
    with pytest.raises(UsageError, match="a pause of -1 seconds ends no session"):
        cut_at_gaps(pl.DataFrame({"user_id": ["a"], "timestamp": [1]}), gap_seconds=-1)


def slow_core(rows: list[tuple[str, str]], per_item: int, per_session: int, longest: int) -> list:
    sessions: dict[str, list[str]] = {}
    for user, item in rows:
        sessions.setdefault(user, []).append(item)
    sessions = {user: items[-longest:] for user, items in sessions.items()}
    while True:
        everything = [item for items in sessions.values() for item in items]
        fewer = {
            user: [item for item in items if everything.count(item) >= per_item]
            for user, items in sessions.items()
            if len(items) >= per_session
        }
        if fewer == sessions:
            return [(user, item) for user, items in sessions.items() for item in items]
        sessions = fewer


@pytest.mark.parametrize("seed", range(5))
def test_rare_items_and_short_sessions_are_left_out_again_and_again(seed):
    generator = np.random.default_rng(seed)
    rows = [
        (f"s{session:02}", f"i{item}")
        for session in range(30)
        for item in generator.zipf(1.6, generator.integers(1, 9)).clip(max=20)
    ]
    events = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    found = core(events, per_item=3, per_session=2, longest=5)
    assert found.rows() == slow_core(rows, 3, 2, 5)
    assert 0 < found.height < events.height


def test_nothing_is_left_of_rare_items_and_said_of_impossible_lengths():
    events = pl.DataFrame({"user_id": ["a", "a", "a"], "item_id": ["1", "2", "3"]})
    assert core(events).height == 0
    with pytest.raises(UsageError, match="sessions of 3 to 2 events: nothing is as long as that") as caught:
        core(events, longest=2)
    assert caught.value.hint == "Set longest to 3 at least."

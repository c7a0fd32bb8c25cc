import numpy as np
import polars as pl
import pytest

from recommender.data import Histories
from recommender.evaluation.sessions import example_sessions, next_item_examples


def sessions_of(*sessions: list[int]) -> Histories:
    indptr = np.cumsum([0, *map(len, sessions)])
    return Histories(indptr.astype(np.int64), np.array([i for s in sessions for i in s], np.int64))


def test_every_prefix_asks_for_what_followed():
    sessions = sessions_of([4, 2, 4], [1], [], [3, 3])
    prefixes, held_out = next_item_examples(sessions, 6)
    assert [prefixes.of(row).tolist() for row in range(len(prefixes))] == [[4], [4, 2], [3]]
    assert held_out.items.tolist() == [2, 4, 3]
    assert held_out.users.tolist() == [0, 1, 2]
    assert held_out.num_items == 6
    assert held_out.seen.degrees.tolist() == [0, 0, 0]  # repeats are legal
    assert example_sessions(sessions).tolist() == [0, 0, 3]


def test_no_session_gives_no_example():
    prefixes, held_out = next_item_examples(sessions_of([7]), 8)
    assert len(prefixes) == len(held_out) == 0


@pytest.mark.real_data
def test_diginetica_has_the_published_number_of_examples(data_folder):
    table = pl.read_parquet(data_folder / "session-diginetica" / "sessions.parquet")
    counts = {}
    for part in ("train", "test"):
        lists = table.filter(split=part)["items"]
        lengths = lists.list.len().to_numpy().astype(np.int64)
        items = lists.explode().to_numpy().astype(np.int64)
        sessions = Histories(np.concatenate([[0], np.cumsum(lengths)]), items)
        prefixes, held_out = next_item_examples(sessions, 43_098)
        counts[part] = len(held_out)
        assert len(prefixes) == len(held_out)
    assert counts == {"train": 719_470, "test": 60_858}

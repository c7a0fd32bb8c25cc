import numpy as np
import pytest

from recommender.data import Histories, group_by_time
from recommender.sequence.sequences import (
    Sequences,
    SequenceSampler,
    history_arrays,
    newest_events,
    saved_histories,
)

LENGTHS = [4, 0, 1, 9, 4, 2, 30, 3, 0]


@pytest.fixture
def histories() -> Histories:
    """Event n of history r is item 100 r + n."""
    users = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    items = np.concatenate([100 * row + np.arange(length) for row, length in enumerate(LENGTHS)])
    return group_by_time(users, items.astype(np.int64), len(LENGTHS))


def taken_apart(sequences: Sequences, line: np.ndarray | None = None) -> list[list[int]]:
    line = sequences.items if line is None else line
    return [part.tolist() for part in np.split(line, np.cumsum(sequences.lengths)[:-1])]


def test_newest_events_stand_shortest_first(histories):
    rows = np.array([6, 1, 3, 0, 4, 2, 6])
    sequences, places = newest_events(histories, rows, 5)
    expected = sorted((histories.of(row)[-5:].tolist() for row in rows if row != 1), key=len)
    assert taken_apart(sequences) == expected
    assert [histories.of(rows[place])[-5:].tolist() for place in places] == expected
    assert sequences.lengths.tolist() == [1, 4, 4, 5, 5, 5]
    assert sequences.blocks == [(1, 1), (2, 4), (3, 5)]


def test_ages_count_from_the_newest_event(histories):
    sequences, _ = newest_events(histories, np.array([3, 2, 0]), 6)
    assert taken_apart(sequences, sequences.ages) == [[0], [3, 2, 1, 0], [5, 4, 3, 2, 1, 0]]
    assert sequences.items[sequences.newest].tolist() == [200, 3, 308]


def test_no_history_at_all(histories):
    sequences, places = newest_events(histories, np.array([1, 8]), 5)
    assert (len(sequences.items), sequences.blocks, len(places)) == (0, [], 0)


@pytest.mark.parametrize(("batch_size", "num_batches"), [(1, 6), (10, 3), (1_000, 1)])
def test_an_epoch_asks_for_what_came_next_once(histories, batch_size, num_batches):
    sampler = SequenceSampler(histories, batch_size, max_length=12)
    batches = list(sampler.epoch(np.random.default_rng(0)))
    assert len(batches) == sampler.num_batches == num_batches
    pairs = [
        (before, after)
        for batch in batches
        for before, after in zip(
            taken_apart(batch.sequences), taken_apart(batch.sequences, batch.targets), strict=True
        )
    ]
    expected = [
        (part[:-1], part[1:]) for part in (histories.of(r)[-13:].tolist() for r in (0, 3, 4, 5, 6, 7))
    ]
    assert sorted(pairs) == expected
    for batch in batches:
        assert (np.diff(batch.sequences.lengths) >= 0).all()


def test_epochs_differ_and_depend_on_the_generator_alone(histories):
    sampler = SequenceSampler(histories, 8, max_length=50)
    first, again, other = (
        [batch.targets.tolist() for batch in sampler.epoch(np.random.default_rng(seed))] for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_saved_histories_keep_the_newest_events(histories):
    saved = history_arrays(histories, 7)
    assert {array.dtype for array in saved.values()} == {np.dtype(np.float32)}
    again = saved_histories(saved)
    assert len(again) == len(histories)
    assert [again.of(r).tolist() for r in range(9)] == [histories.of(r)[-7:].tolist() for r in range(9)]
    none = saved_histories(history_arrays(Histories(np.zeros(3, np.int64), np.zeros(0, np.int64)), 7))
    assert none.lengths.tolist() == [0, 0]

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import InputError
from recommender.data import training_data
from recommender.training.sampling import PairSampler

NONE = (np.array([], np.int64), np.array([], np.int64))


@given(
    pairs=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=35),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 99),
    kind=st.sampled_from(["uniform", "popularity", "in_batch"]),
    num_negatives=st.integers(1, 3),
)
def test_an_epoch_holds_every_pair_once_and_no_positive_as_negative(
    pairs, batch_size, seed, kind, num_negatives
):
    users, items = np.array(sorted(pairs)).T
    data = training_data(num_users=6, num_items=7, train=(users, items), valid=NONE)
    sampler = PairSampler(data, batch_size, negatives=kind, num_negatives=num_negatives)
    batches = list(sampler.epoch(np.random.default_rng(seed)))
    assert len(batches) == sampler.num_batches
    drawn = [(u, p) for batch in batches for u, p in zip(batch.users, batch.positives, strict=True)]
    full = {u for u in range(6) if sum(user == u for user, _ in pairs) == 7}
    assert sorted(drawn) == sorted((u, i) for u, i in pairs if u not in full)
    assert all(batch.negatives.shape == (len(batch), num_negatives) for batch in batches)
    negatives = [(u, n) for b in batches for u, line in zip(b.users, b.negatives, strict=True) for n in line]
    assert not any(pair in pairs for pair in negatives)


def test_negatives_are_uniform_over_what_a_user_has_not():
    data = training_data(
        num_users=1, num_items=6, train=(np.zeros(2, np.int64), np.array([1, 4])), valid=NONE
    )
    sampler = PairSampler(data, 2)
    generator = np.random.default_rng(0)
    counts = np.bincount(
        np.concatenate([b.negatives.ravel() for _ in range(4000) for b in sampler.epoch(generator)]),
        minlength=6,
    )
    assert counts[[1, 4]].tolist() == [0, 0]
    assert counts[[0, 2, 3, 5]] == pytest.approx(2000, rel=0.1)


def test_equal_seeds_draw_equal_batches():
    data = training_data(
        num_users=2, num_items=9, train=(np.array([0, 0, 1]), np.array([1, 4, 2])), valid=NONE
    )
    first, second = (
        next(iter(PairSampler(data, 3).epoch(np.random.default_rng(5)))).negatives for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_repeated_events_count_once():
    data = training_data(
        num_users=2,
        num_items=3,
        train=(np.array([1, 0, 1, 1]), np.array([2, 0, 2, 1])),
        valid=(np.array([1, 1, 0]), np.array([2, 0, 1])),
    )
    assert data.train_users.tolist() == [0, 1, 1]
    assert data.train_items.tolist() == [0, 1, 2]
    assert data.item_degrees.tolist() == [1, 1, 1]
    assert (data.valid.users.tolist(), data.valid.items.tolist()) == ([0, 1], [1, 0])
    assert data.valid.num_repeats == 1


def test_training_data_needs_training_pairs():
    with pytest.raises(InputError, match=r"the training part holds no interactions\.\n  Ingest interactions"):
        training_data(num_users=2, num_items=3, train=NONE, valid=NONE)


def test_training_data_has_no_test_part():
    data = training_data(num_users=1, num_items=3, train=(np.array([0]), np.array([1])), valid=NONE)
    assert not any("test" in name for name in dir(data))

import numpy as np
import pytest

from featurestore.errors import InputError
from recommender.data import HeldOut, hold_out
from recommender.evaluate import rank_in_one_pass
from recommender.metrics import ranking_metrics
from recommender.sampled import draw_negatives


def world(rng, *, num_users: int = 40, num_items: int = 60, held_share: float = 0.05) -> HeldOut:
    held = np.nonzero(rng.random((num_users, num_items)) < held_share)
    seen = np.nonzero(rng.random((num_users, num_items)) < 0.2)
    return hold_out(*held, seen_users=seen[0], seen_items=seen[1], num_users=num_users, num_items=num_items)


def test_a_users_negatives_are_different_and_none_is_the_users_own(rng):
    held = world(rng)
    drawn = draw_negatives(held, 30)
    assert drawn.users.tolist() == sorted(set(held.users.tolist()))
    for user, items in zip(drawn.users, drawn.items, strict=True):
        assert len(set(items)) == 30
        assert not set(items) & (set(held.seen.of(user)) | set(held.items[held.users == user]))


def test_a_users_list_depends_on_no_other_user(rng, monkeypatch):
    held = world(rng)
    whole = draw_negatives(held, 20, seed=3)
    kept = held.users % 3 == 0
    part = draw_negatives(HeldOut(held.users[kept], held.items[kept], held.seen, held.num_items), 20, seed=3)
    np.testing.assert_array_equal(part.items, whole.items[np.isin(whole.users, part.users)])
    monkeypatch.setattr("recommender.sampled._CHUNK_DRAWS", 100)
    assert draw_negatives(held, 20, seed=3).digest == whole.digest
    assert draw_negatives(held, 20, seed=4).digest != whole.digest


def test_draws_are_uniform():
    users = np.arange(4000)
    held = hold_out(
        users, users % 50, seen_users=users, seen_items=(users + 1) % 50, num_users=4000, num_items=50
    )
    counts = np.bincount(draw_negatives(held, 10).items.ravel(), minlength=50)
    assert counts.sum() == 40_000
    assert abs(counts - 800).max() < 5 * np.sqrt(800)


def test_all_free_items_are_drawn_if_as_many_are_wanted():
    held = hold_out(
        np.array([0]),
        np.array([3]),
        seen_users=np.array([0, 0]),
        seen_items=np.array([0, 5]),
        num_users=1,
        num_items=9,
    )
    assert sorted(draw_negatives(held, 6).items[0]) == [1, 2, 4, 6, 7, 8]
    with pytest.raises(
        InputError,
        match=r"user row 0 has only 6 items to draw negatives from; 7 are wanted\.\n  Ask for fewer",
    ):
        draw_negatives(held, 7)
    with pytest.raises(InputError, match="user 'anna' has only 6 items to draw negatives from; 7 are wanted"):
        draw_negatives(held, 7, user_ids=["anna"])


def test_ranks_among_negatives_are_those_of_a_slow_count(rng, monkeypatch):
    held = world(rng, held_share=0.08)
    scores = rng.integers(0, 9, (40, 60)).astype(np.float32)
    negatives = draw_negatives(held, 12)
    monkeypatch.setattr("recommender.evaluate._CHUNK_SCORES", 300)
    ranking = rank_in_one_pass(lambda users: scores[users], held, negatives=negatives)
    assert ranking.sampled is not None
    lists = dict(zip(negatives.users.tolist(), negatives.items, strict=True))
    for place, (user, item) in enumerate(zip(held.users, held.items, strict=True)):
        candidates = scores[user][[*lists[user], *held.items[held.users == user]]]
        assert ranking.sampled.better[place] == (candidates > scores[user, item]).sum()
        assert ranking.sampled.tied[place] == (candidates == scores[user, item]).sum()
    full = ranking_metrics(ranking.groups).means()
    assert ranking_metrics(ranking.sampled).means()["recall@5"] > full["recall@5"]

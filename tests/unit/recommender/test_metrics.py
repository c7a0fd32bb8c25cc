import json
from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import InputError
from recommender.data import HeldOut, hold_out
from recommender.evaluate import evaluate_ranking, rank_held_out, rank_in_one_pass
from recommender.evaluation.beyond_accuracy import list_measures
from recommender.metrics import RankGroups, pair_metrics, ranking_metrics


def brute_force(scores: list[int], relevant: set[int], k: int) -> dict[str, float]:
    """Mean over all orders of the items that sort the scores downwards."""
    totals = dict.fromkeys(("hr", "recall", "ndcg", "mrr", "map"), 0.0)
    orders = [
        o for o in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(o))
    ]
    best = sum(1 / log2(rank + 2) for rank in range(min(k, len(relevant))))
    for order in orders:
        ranks = [rank for rank, item in enumerate(order[:k]) if item in relevant]
        totals["hr"] += bool(ranks)
        totals["recall"] += len(ranks) / len(relevant)
        totals["ndcg"] += sum(1 / log2(rank + 2) for rank in ranks) / best
        totals["mrr"] += 1 / (ranks[0] + 1) if ranks else 0.0
        totals["map"] += sum(nth / (rank + 1) for nth, rank in enumerate(ranks, 1)) / len(relevant)
    return {f"{name}@{k}": total / len(orders) for name, total in totals.items()}


@given(
    scores=st.lists(st.integers(0, 2), min_size=2, max_size=6),
    relevant=st.sets(st.integers(0, 5), min_size=1, max_size=4),
    k=st.integers(1, 7),
)
def test_metrics_are_the_mean_over_all_orders_of_equal_scores(scores, relevant, k):
    relevant = {item % len(scores) for item in relevant}
    items = np.array(sorted(relevant))
    none = np.array([], np.int64)
    held = hold_out(
        np.zeros(len(items), np.int64),
        items,
        seen_users=none,
        seen_items=none,
        num_users=1,
        num_items=len(scores),
    )
    found = evaluate_ranking(
        lambda users: np.tile(np.array(scores, np.float32), (len(users), 1)), held, cutoffs=(k,)
    )
    assert found.means() == pytest.approx(brute_force(scores, relevant, k), abs=1e-9)


def test_known_ranks():
    groups = RankGroups(np.array([0, 3, 3]), np.array([2, 0, 7]), np.array([1, 1, 1]))
    found = ranking_metrics(groups, (5, 10))
    assert found.users.tolist() == [0, 3]
    assert found.per_user["hr@5"].tolist() == [1.0, 1.0]
    assert found.per_user["recall@5"].tolist() == [1.0, 0.5]
    assert found.per_user["ndcg@5"] == pytest.approx([1 / log2(4), 1 / (1 + 1 / log2(3))])
    assert found.per_user["recall@10"].tolist() == [1.0, 1.0]


def test_seen_items_are_not_ranked_and_do_not_stand_above():
    held = hold_out(
        np.array([0, 1, 1]),
        np.array([2, 0, 3]),
        seen_users=np.array([0, 0, 1]),
        seen_items=np.array([0, 1, 0]),
        num_users=2,
        num_items=4,
    )
    assert held.num_repeats == 1  # user 1 had item 0 before
    groups = rank_held_out(lambda users: np.tile(np.array([9, 8, 7, 1], np.float32), (len(users), 1)), held)
    assert groups.users.tolist() == [0, 1]
    assert groups.better.tolist() == [0, 2]
    assert groups.tied.tolist() == [1, 1]


def test_chunks_do_not_change_ranks(monkeypatch, rng):
    scores = rng.integers(0, 5, (30, 12)).astype(np.float32)
    users, items = np.nonzero(rng.random((30, 12)) < 0.3)
    seen = np.nonzero(rng.random((30, 12)) < 0.2)
    held = hold_out(users, items, seen_users=seen[0], seen_items=seen[1], num_users=30, num_items=12)
    whole = rank_held_out(lambda users: scores[users], held)
    monkeypatch.setattr("recommender.evaluate._CHUNK_SCORES", 40)
    chunked = rank_held_out(lambda users: scores[users], held)
    np.testing.assert_array_equal(whole.better, chunked.better)
    np.testing.assert_array_equal(whole.tied, chunked.tied)


def test_scores_that_are_no_numbers_are_refused():
    none = np.array([], np.int64)
    held = hold_out(np.array([0]), np.array([1]), seen_users=none, seen_items=none, num_users=1, num_items=3)
    with pytest.raises(
        InputError, match=r"not finite numbers\.\n  Train it again with a smaller learning_rate"
    ):
        evaluate_ranking(lambda users: np.full((len(users), 3), np.nan, np.float32), held)


def test_nothing_held_out_has_no_users():
    none = np.array([], np.int64)
    held = hold_out(none, none, seen_users=none, seen_items=none, num_users=2, num_items=3)
    found = evaluate_ranking(lambda users: np.zeros((len(users), 3), np.float32), held)
    assert len(found.users) == 0
    assert found.means()["ndcg@10"] == 0.0


def test_several_held_out_items_of_several_users_equal_each_user_alone(rng):
    scores = rng.integers(0, 6, (20, 15)).astype(np.float32)
    users, items = np.nonzero(rng.random((20, 15)) < 0.3)
    none = np.array([], np.int64)
    held = hold_out(users, items, seen_users=none, seen_items=none, num_users=20, num_items=15)
    groups = rank_held_out(lambda rows: scores[rows], held)
    together = ranking_metrics(groups, (3, 8))
    for place, user in enumerate(together.users):
        own = groups.users == user
        alone = ranking_metrics(RankGroups(groups.users[own], groups.better[own], groups.tied[own]), (3, 8))
        for name, values in alone.per_user.items():
            assert together.per_user[name][place] == pytest.approx(values[0])


def test_a_pair_is_ranked_as_if_it_were_its_users_only_one():
    groups = RankGroups(np.array([0, 0, 1]), np.array([0, 4, 2]), np.array([1, 2, 1]))
    found = pair_metrics(groups, (5,))
    assert found["recall@5"].tolist() == [1.0, 0.5, 1.0]
    assert found["ndcg@5"] == pytest.approx([1.0, 0.5 / log2(6), 0.5])


@pytest.fixture(scope="module")
def golden(project_root):
    return json.loads((project_root / "tests" / "golden" / "ranking.json").read_text(encoding="utf-8"))


def golden_held_out(data) -> HeldOut:
    rows = {
        part: [(u, i) for u, items in enumerate(data[part]) for i in items] for part in ("seen", "held_out")
    }
    seen, held = (np.array(rows[part], np.int64).T for part in ("seen", "held_out"))
    num_users, num_items = len(data["scores"]), len(data["scores"][0])
    return hold_out(*held, seen_users=seen[0], seen_items=seen[1], num_users=num_users, num_items=num_items)


def test_metrics_are_those_of_ranx(golden):
    scores = np.array(golden["input"]["scores"], np.float32)
    held = golden_held_out(golden["input"])
    found = evaluate_ranking(lambda users: scores[users], held, cutoffs=(1, 5, 10)).per_user
    assert golden["ranx"]["version"] == "0.3.21"
    assert len(golden["ranx"]["values"]) == len(found) == 15
    for name, values in golden["ranx"]["values"].items():
        np.testing.assert_allclose(found[name.replace("hit_rate", "hr")], values, atol=1e-12, err_msg=name)


def test_map_and_lists_are_those_of_rectools(golden):
    scores = np.array(golden["input"]["scores"], np.float32)
    held = golden_held_out(golden["input"])
    ranking = rank_in_one_pass(lambda users: scores[users], held, top_k=10)
    found = ranking_metrics(ranking.groups, (1, 5, 10)).per_user
    lists = list_measures(
        ranking.lists,
        profiles=held.seen,
        users=np.arange(len(scores)),
        item_degrees=np.bincount(held.seen.items, minlength=scores.shape[1]),
        num_train_users=len(scores),
        cutoffs=(1, 5, 10),
    )
    values = golden["rectools"]["values"]
    assert golden["rectools"]["version"] == "0.19.0"
    for k in (1, 5, 10):
        np.testing.assert_allclose(found[f"map@{k}"], values[f"map@{k}"], atol=1e-12)
        assert lists[f"coverage@{k}"] == pytest.approx(values[f"coverage@{k}"])
        assert lists[f"novelty@{k}"] == pytest.approx(values[f"novelty@{k}"])

"""Metrics among sampled negatives against every list that could be drawn."""

from itertools import combinations
from math import log2

import numpy as np
import pytest
import study_world
from study_world import FACTS, write_record

from recommender.metrics import RankGroups
from scripts.study.core import declare
from scripts.study.groups import Group, Study
from scripts.study.records import Records
from scripts.study.sampled_ranks import SampledRanks, sampled_metrics

BEAUTY = "amazon14-beauty"


def by_enumeration(better: int, tied: int, pool: int, num_negatives: int, k: int) -> tuple[float, float]:
    """HR and NDCG over every list of negatives, and every order of equal scores."""
    hits, gains, count = 0.0, 0.0, 0
    for place in range(better, better + tied):  # of the held-out item, from 0, among all
        for drawn in combinations(range(pool), num_negatives):
            rank = sum(other < place for other in drawn)  # the pool's items by falling score
            hits += rank < k
            gains += 1 / log2(rank + 2) if rank < k else 0.0
            count += 1
    return hits / count, gains / count


@pytest.mark.parametrize("num_negatives", [1, 3, 5, 8])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_metrics_are_means_over_all_lists(num_negatives, k):
    cases = [(b, t, pool) for pool in (8, 9) for b in range(pool + 1) for t in range(1, pool - b + 2)]
    better, tied, pool = np.array(cases).T
    ranks = RankGroups(np.arange(len(cases)), better, tied)
    found = sampled_metrics(ranks, pool, num_negatives=num_negatives, cutoffs=(k,))
    expected = np.array([by_enumeration(*case, num_negatives, k) for case in cases])
    np.testing.assert_allclose(found[f"hr@{k}"], expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(found[f"ndcg@{k}"], expected[:, 1], atol=1e-12)


def test_a_large_pool_keeps_its_digits():
    ranks = RankGroups(np.arange(3), np.array([0, 12_000, 600]), np.array([1, 1, 1]))
    found = sampled_metrics(ranks, np.full(3, 12_092))
    np.testing.assert_allclose(found["hr@10"][:2], [1.0, 0.0], atol=1e-12)
    drawn = np.random.default_rng(0).hypergeometric(600, 12_092 - 600, 99, size=200_000)
    assert found["hr@10"][2] == pytest.approx((drawn < 10).mean(), abs=0.003)
    gains = np.where(drawn < 5, 1 / np.log2(drawn + 2), 0.0)
    assert found["ndcg@5"][2] == pytest.approx(gains.mean(), abs=0.003)


@pytest.fixture
def records(tmp_path, monkeypatch) -> Records:
    monkeypatch.setattr(study_world, "FACTS", FACTS.model_copy(update={"num_items": 106}))
    return Records(tmp_path / "runs")


def group_of(records: Records, *rows: list[int]) -> Group:
    runs = [declare(BEAUTY, "lightgcn", seed=seed) for seed in range(len(rows) or 1)]
    for run, better in zip(runs, rows, strict=False):
        write_record(records, run, better)
    return Study.read(runs, records).group(BEAUTY, "lightgcn")


def test_pools_leave_out_what_a_user_has(records):
    group = group_of(records, [0] * 40, [100] * 40)
    ranks = SampledRanks(records)
    assert ranks.pool_sizes(BEAUTY).tolist() == [106 - 4 - 2] * 40
    assert ranks.cell(group, "hr@10") == "0.5000 ± 0.7071"
    assert ranks.cell(Group(), "hr@10") == ""
    assert ranks.cell(group_of(Records(records.folder / "none")), "hr@10") == "not run"


@pytest.mark.parametrize("update", [{"num_items": 104}, {"num_test": 41}, {"num_valid": 39}])
def test_no_pools_where_users_differ_or_items_are_few(records, monkeypatch, update):
    monkeypatch.setattr(study_world, "FACTS", study_world.FACTS.model_copy(update=update))
    group_of(records, [0] * 40)
    assert SampledRanks(records).pool_sizes(BEAUTY) is None
    assert SampledRanks(records).pool_sizes("amazon14-toys") is None

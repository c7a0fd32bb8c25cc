import numpy as np
import polars as pl
import pytest

from recommender.evaluation.strata import Stratum, degree_cut, item_strata, quartile_cut, user_strata
from recommender.evaluation.user_groups import attribute_cuts, largest_gap
from recommender.metrics import RankGroups, ranking_metrics


def test_degrees_are_cut_at_1_10_and_50():
    cut = degree_cut("item degree", np.array([0, 1, 9, 10, 49, 50, 900]))
    assert [cut.labels[code] for code in cut.codes] == [
        "0 (cold)", "1-9", "1-9", "10-49", "10-49", ">=50", ">=50",
    ]  # fmt: skip


def test_quartiles_hold_equal_shares_of_interactions():
    degrees = np.array([100, 50, 50, 20, 20, 20, 20, 20, 1, 1, 98])
    cut = quartile_cut("item quartile", degrees, degrees)
    assert cut.codes.tolist() == [3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert cut.labels == ("Q1 (1-20)", "Q2 (50)", "Q3 (98)", "Q4 (100)")


def test_equal_values_stay_in_one_quartile():
    cut = quartile_cut("user quartile", np.array([5, 5, 5, 5, 5, 9]), np.ones(6, np.int64))
    assert len(set(cut.codes[:5])) == 1
    assert cut.codes[5] == 3


def test_strata_by_hand():
    groups = RankGroups(np.array([0, 0, 1, 2]), np.array([0, 30, 3, 30]), np.array([1, 1, 1, 1]))
    items = np.array([7, 1, 7, 0])
    cut = degree_cut("item degree", np.array([0, 5, 0, 0, 0, 0, 0, 60]))
    found = {s.label: s for s in item_strata(groups, items, [cut], (5,))}
    assert set(found) == {"0 (cold)", "1-9", ">=50"}  # an empty stratum has no mean
    assert (found[">=50"].num_users, found[">=50"].num_pairs) == (2, 2)
    assert found[">=50"].means["recall@5"] == 1.0
    assert found["0 (cold)"].means["recall@5"] == 0.0
    metrics = ranking_metrics(groups, (5,))
    users = user_strata(metrics, np.array([2, 1, 1]), [degree_cut("user degree", np.array([3, 3, 12]))])
    assert [(s.label, s.num_users, s.num_pairs) for s in users] == [("1-9", 2, 3), ("10-49", 1, 1)]
    assert users[0].means["recall@5"] == pytest.approx((0.5 + 1.0) / 2)


class Described:
    """As much of a release as says who its users are."""

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table

    def users(self) -> pl.DataFrame:
        return self._table

    def id_map(self, entity: str):
        assert entity == "user"
        return type("Map", (), {"ids": tuple(f"u{n}" for n in range(200))})


def test_users_are_divided_by_what_is_said_of_them():
    table = pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in range(150)],
            "gender": ["f" if n % 3 else "m" for n in range(150)],
            "age": [str(18 + n // 2) for n in range(150)],
            "bio": [f"text {n}" for n in range(150)],
            "country": ["nl"] * 150,
        }
    )
    users = np.append(np.arange(150), 180)
    cuts = {cut.kind: cut for cut in attribute_cuts(Described(table), users)}
    assert set(cuts) == {"gender", "age"}  # one country divides nobody, and a text each neither
    genders = [cuts["gender"].labels[code] for code in cuts["gender"].codes]
    assert genders[:4] == ["m", "f", "f", "m"]
    assert genders[-1] == "unknown"


def test_numbers_of_many_values_divide_into_quartiles():
    ages = [None if n == 5 else str(n) for n in range(100)]
    table = pl.DataFrame({"user_id": [f"u{n}" for n in range(100)], "age": ages})
    (cut,) = attribute_cuts(Described(table), np.arange(100))
    assert cut.labels == ("below 25.5", "25.5 to 50", "50 to 74.5", "74.5 and more", "unknown")
    assert cut.labels[cut.codes[5]] == "unknown"
    assert np.bincount(cut.codes).tolist() == [25, 24, 25, 25, 1]


def test_the_largest_gap_leaves_small_groups_out():
    strata = [
        Stratum("gender", label, num_users, num_users, {"ndcg@10": value})
        for label, num_users, value in [("f", 50, 0.2), ("m", 60, 0.3), ("x", 3, 0.9), ("unknown", 80, 0.0)]
    ]
    gap = largest_gap("gender", strata, "ndcg@10")
    assert gap is not None
    assert (gap.best, gap.worst) == ("m", "f")
    assert gap.difference == pytest.approx(0.1)
    assert largest_gap("gender", strata[1:], "ndcg@10") is None
    assert largest_gap("age", strata, "ndcg@10") is None

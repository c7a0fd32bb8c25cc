"""Tests of two models on a part of the items, against means taken by hand."""

import numpy as np
import pytest
from study_world import FACTS, write_record

from scripts.study.comparisons import Comparisons
from scripts.study.item_parts import ItemPart
from scripts.study.records import Pairs, Records
from scripts.study.runs import Record, Run

LASTFM = "colakg-lastfm"
USERS = np.array([0, 0, 1, 1, 2, 3])
DEGREES = np.array([2, 3, 3, 9, 40, 1])
OURS, THEIRS = [0, 0, 0, 50, 50, 0], [0, 50, 50, 0, 0, 0]


def record_of(records: Records, model: str, better: list[int]) -> Record:
    run = Run(dataset=LASTFM, model=model)
    record = write_record(records, run, better)
    pairs = Pairs(USERS, DEGREES, np.full_like(DEGREES, 4))
    (records.folder / LASTFM / "dataset.json").unlink()
    records.describe(LASTFM, FACTS, pairs)
    return record


@pytest.fixture
def sides(tmp_path) -> tuple[Records, Record, Record]:
    records = Records(tmp_path / "runs")
    return records, record_of(records, "lightgcn", OURS), record_of(records, "bpr_mf", THEIRS)


def test_bounds_are_inside():
    assert ItemPart(2, 9).inside(DEGREES).tolist() == [True, True, True, True, False, False]
    assert ItemPart(most=3).inside(DEGREES).tolist() == [True, True, True, False, False, True]
    assert ItemPart(10).inside(DEGREES).tolist() == [False, False, False, False, True, False]


def test_a_part_is_compared_pair_by_pair_and_drawn_user_by_user(sides):
    records, ours, theirs = sides
    comparisons = Comparisons(records)
    test = comparisons.family({"": ([ours], [theirs])}, "recall@20", ItemPart(most=3))[""]
    # Pairs 0, 1, 2 and 5 of users 0, 0, 1 and 3: ours finds all four, theirs the first and the last.
    assert test.difference == pytest.approx(2 / 4)
    # A draw of user 3 alone has no difference, one of user 1 alone has 1.
    assert (test.low, test.high) == (0.0, 1.0)


def test_parts_are_kept_apart_from_each_other_and_from_the_whole(sides):
    records, ours, theirs = sides
    comparisons = Comparisons(records)
    pair = {"": ([ours], [theirs])}
    parts = (None, ItemPart(most=3), ItemPart(40, 40))
    found = [comparisons.family(pair, "recall@20", part)[""] for part in parts]
    comparisons.save()
    again = [Comparisons(records).family(pair, "recall@20", part)[""] for part in parts]
    assert again == found
    assert [test.difference for test in found] == pytest.approx([(0.5 + 0 - 1 + 0) / 4, 0.5, -1.0])


def test_a_part_without_pairs_has_no_difference(sides):
    records, ours, theirs = sides
    test = Comparisons(records).family({"": ([ours], [theirs])}, "ndcg@20", ItemPart(1_000))[""]
    assert (test.difference, test.p_value) == (0.0, 1.0)

"""Neighbours by several kinds of vectors, against sums written out and against the product's own figures."""

import numpy as np
import pytest

from recommender.data import TrainingData, training_data
from recommender.evaluation.neighbour_cases import neighbour_cases
from scripts.study import neighbour_figures
from scripts.study.neighbour_figures import Neighbours

NUM_USERS, NUM_ITEMS, TOP_K = 50, 30, 3


@pytest.fixture
def data(rng) -> TrainingData:
    """Items of one to fifty users; the last item has none, and a text."""
    taken = rng.random((NUM_USERS, NUM_ITEMS)) < np.linspace(0.02, 0.9, NUM_ITEMS)
    taken[:, -1] = False
    users, items = np.nonzero(taken)
    held_out = rng.random(len(users)) < 0.2
    return training_data(
        num_users=NUM_USERS,
        num_items=NUM_ITEMS,
        train=(users[~held_out], items[~held_out]),
        valid=(users[held_out], items[held_out]),
    )


@pytest.fixture
def vectors(rng) -> dict[str, np.ndarray]:
    return {name: rng.normal(size=(NUM_ITEMS, 4)).astype(np.float32) for name in ("id", "text")}


def test_figures_are_those_of_the_definition(data, vectors):
    found = Neighbours(data, vectors, text="text", top_k=TOP_K)
    degrees = data.item_degrees
    assert found.items.tolist() == np.flatnonzero(degrees).tolist()
    assert NUM_ITEMS - 1 not in found.near["id"]
    users_of = [
        {u for u, i in zip(data.train_users, data.train_items, strict=True) if i == item}
        for item in range(NUM_ITEMS)
    ]
    parts = found.parts()
    assert sum(part.num_items for part in parts) == len(found.items)
    for part in parts:
        inside = [p for p, i in enumerate(found.items) if part.least <= degrees[i] <= (part.most or 1000)]
        assert part.num_items == len(inside)
        for side in part.sides:
            near = found.near[side.kind]
            together = [
                np.mean([bool(users_of[found.items[p]] & users_of[other]) for other in near[p]])
                for p in inside
            ]
            assert side.together == pytest.approx(np.mean(together))
            overlap = [len({*near[p]} & {*found.near["text"][p]}) / TOP_K for p in inside]
            assert side.overlap == pytest.approx(np.mean(overlap))
            assert side.degree == pytest.approx(degrees[near[inside]].mean())
        chances = [
            np.mean([bool(users_of[item] & users_of[o]) for o in found.items if o != item])
            for item in found.items[inside]
        ]
        assert part.together_by_chance == pytest.approx(np.mean(chances))


def test_what_was_taken_before_is_what_the_page_of_a_project_says(data, vectors, monkeypatch):
    most = 10
    monkeypatch.setattr(neighbour_figures, "PARTS", ((1, most),))
    for rows in vectors.values():
        rows[data.item_degrees == 0] = 0
    found = Neighbours(data, vectors, text="text", top_k=TOP_K)
    (part,) = found.parts()
    page = neighbour_cases(data, vectors["id"], vectors["text"], max_degree=most, top_k=TOP_K)
    ours = {side.kind: side for side in part.sides}
    for kind, theirs in (("id", page.by_id), ("text", page.by_text)):
        assert ours[kind].taken_before == pytest.approx(theirs.taken_before)
        assert ours[kind].degree == pytest.approx(theirs.degree)
    assert ours["id"].overlap == pytest.approx(page.overlap)
    assert ours["text"].overlap == 1
    assert 0 < part.num_taken <= part.num_items == len(page.items)


def test_cases_are_cold_items_and_say_which_neighbours_were_had_together(data, vectors):
    found = Neighbours(data, vectors, text="text", top_k=TOP_K)
    ids = [f"i{row}" for row in range(NUM_ITEMS)]
    cases = found.cases(ids, num_cases=4, num_shown=2, seed=1)
    assert cases == found.cases(ids, num_cases=4, num_shown=2, seed=1)
    assert 0 < len(cases) <= 4
    for case in cases:
        row = int(case.item[1:])
        assert case.degree == data.item_degrees[row] <= 4
        place = int(np.searchsorted(found.items, row))
        for kind, near in case.near.items():
            assert near == tuple(ids[other] for other in found.near[kind][place, :2])
        owners = set(data.train_users[data.train_items == row].tolist())
        for name in {name for near in case.near.values() for name in near}:
            others = set(data.train_users[data.train_items == int(name[1:])].tolist())
            assert (name in case.together) == bool(owners & others)

"""Neighbours of cold items, against sums written out."""

import numpy as np
import pytest
from aligned_world import fill

from featurestore.errors import InputError, UnknownNameError
from featurestore.stores.memory import MemoryStore
from recommender.data import load_training_data
from recommender.evaluation.neighbour_cases import nearest, neighbour_cases
from recommender.testing import checkerboard
from scripts.semantic_neighbours import page


def test_nearest_are_those_of_greatest_cosine(rng):
    vectors = rng.normal(size=(30, 5)).astype(np.float32)
    vectors[7] = vectors[3] * 2
    allowed = np.ones(30, np.bool_)
    allowed[[4, 5]] = False
    found = nearest(vectors, np.array([3, 9]), allowed, 6)
    for row, neighbours in zip((3, 9), found.tolist(), strict=True):
        own = vectors[row].astype(np.float64)
        cosines = {
            other: own @ vector / np.linalg.norm(own) / np.linalg.norm(vector)
            for other, vector in enumerate(vectors.astype(np.float64))
            if allowed[other] and other != row
        }
        assert neighbours == sorted(cosines, key=lambda other: -cosines[other])[:6]
    assert found[0, 0] == 7


def test_measures_are_those_of_the_definition(rng):
    data = checkerboard()[0]
    by_id, by_text = (rng.normal(size=(data.num_items, 4)).astype(np.float32) for _ in range(2))
    by_text[2] = 0
    most = int(np.median(data.item_degrees))
    found = neighbour_cases(data, by_id, by_text, max_degree=most, top_k=3)
    cold = [i for i in range(data.num_items) if 0 < data.item_degrees[i] <= most and i != 2]
    assert found.items.tolist() == cold
    assert not (found.by_id.neighbours == 2).any()
    shared = [
        len(set(a) & set(b)) / 3
        for a, b in zip(found.by_id.neighbours.tolist(), found.by_text.neighbours.tolist(), strict=True)
    ]
    assert found.overlap == pytest.approx(np.mean(shared))
    assert found.by_id.degree == pytest.approx(data.item_degrees[found.by_id.neighbours].mean())
    shares, chances = [], []
    for item, neighbours in zip(cold, found.by_text.neighbours.tolist(), strict=True):
        users = [u for u, i in zip(data.valid.users, data.valid.items, strict=True) if i == item]
        if users:
            had = {int(other) for user in users for other in data.seen.of(user)}
            shares.append(sum(each in had for each in neighbours) / 3)
            known = [other for other in range(data.num_items) if other != 2]
            chances.append(sum(other in had for other in known) / len(known))
    assert shares
    assert found.by_text.taken_before == pytest.approx(np.mean(shares))
    assert found.taken_before_by_chance == pytest.approx(np.mean(chances))


def test_a_page_shows_both_sides_and_says_what_is_missing():
    release = fill(MemoryStore("neighbours"))
    data = load_training_data(release)
    assert data.num_items
    options = {"max_degree": 4, "top_k": 5, "num_cases": 3, "seed": 1}
    written = page(release, "lightgcn", "lightgcn.item", **options)
    assert "| neighbours by | their training users, mean |" in written
    assert "Of an item's neighbours, 100.0% are named by both." in written
    assert written.count("\n| i0") == 3
    assert written == page(release, "lightgcn", "lightgcn.item", **options)
    with pytest.raises(UnknownNameError, match="unknown vector feature 'sid'"):
        page(release, "lightgcn", "sid", **options)
    with pytest.raises(InputError, match="no item of 1 to 0 training users has a vector by lightgcn"):
        page(release, "lightgcn", "lightgcn", **(options | {"max_degree": 0}))
    with pytest.raises(InputError, match="items have both vectors: none has 4000 neighbours"):
        page(release, "lightgcn", "lightgcn", **(options | {"top_k": 4000}))

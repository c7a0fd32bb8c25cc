"""Ordered draws against every ordered draw there is, one by one."""

from itertools import permutations
from math import exp, log

import numpy as np
import pytest
import torch

from recommender.hgpo.plackett_luce import columns_of_largest, draw_ordered, log_probability

LOGITS = [0.3, -1.2, 2.0, 0.0, 0.9]


def chance(logits: list[float], drawn: tuple[int, ...]) -> float:
    left, total = dict(enumerate(logits)), 1.0
    for column in drawn:
        total *= exp(left[column]) / sum(exp(other) for other in left.values())
        del left[column]
    return total


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_chances_of_all_ordered_draws_sum_to_one(count):
    draws = list(permutations(range(5), count))
    logits = torch.tensor(LOGITS).expand(len(draws), 5)
    found = log_probability(logits, torch.tensor(draws))
    assert found.exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    for line, drawn in enumerate(draws):
        assert found[line].item() == pytest.approx(log(chance(LOGITS, drawn)), abs=1e-5)


def test_draws_come_as_often_as_their_chance():
    logits = torch.tensor([0.5, -1.0, 1.0, -torch.inf]).expand(30_000, 4)
    drawn = draw_ordered(logits, 2, torch.Generator().manual_seed(0))
    codes, counts = np.unique(drawn[:, 0].numpy() * 10 + drawn[:, 1].numpy(), return_counts=True)
    expected = {10 * a + b: chance([0.5, -1.0, 1.0], (a, b)) for a, b in permutations(range(3), 2)}
    assert set(codes.tolist()) == set(expected), "what is barred is never drawn, nothing is drawn twice"
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        assert count / 30_000 == pytest.approx(expected[code], abs=0.012)


def test_gradients_equal_those_of_the_formula():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 6, generator=generator)
    logits[:, 1, 4] = -torch.inf
    drawn = draw_ordered(logits, 3, generator)
    weights = torch.randn(2, 3, generator=generator)
    ours = logits.clone().requires_grad_()
    (log_probability(ours, drawn) * weights).sum().backward()
    theirs = logits.double().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for line in np.ndindex(2, 3):
        row, left = theirs[line], list(range(6))
        for column in drawn[line].tolist():
            own = torch.log_softmax(row[left], dim=0)[left.index(column)]
            total = total + weights[line].double() * own
            left.remove(column)
    total.backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-4)


def test_distant_logits_stay_finite():
    logits = torch.tensor([[200.0, 0.0, -500.0]], requires_grad=True)
    found = log_probability(logits, torch.tensor([[2, 1]]))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(logits.grad).all()
    assert found.item() < -100


@pytest.mark.parametrize("shape", [(7, 9), (2, 3, 9)])
def test_the_largest_come_first_and_equal_ones_in_their_order(shape):
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(2)).round()
    scores[..., 2] = -torch.inf
    scores += 0.0  # no negative zeros: they would stand below zeros
    found = columns_of_largest(scores, 4)
    for line in np.ndindex(shape[:-1]):
        values = scores[line].tolist()
        expected = sorted(range(9), key=lambda column: (-values[column], column))[:4]
        assert found[line].tolist() == expected

"""The objective against finite differences of exact returns, and what harmonisation does on a toy."""

from itertools import permutations

import numpy as np
import pytest
import torch

from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.objective import (
    advantages,
    clipped_objective,
    first_policy_distance,
    group_return_variance,
    policy_loss,
)
from recommender.hgpo.plackett_luce import draw_ordered, log_probability

DRAWS = list(permutations(range(3), 2))
WEIGHTS = np.array([1.0, 1.0, 2.0])
REWARDS = dict(zip(DRAWS, (0.3, -1.0, 2.0, 0.7, -0.4, 1.1), strict=True))


def exact_return(logits: np.ndarray) -> float:
    weights = np.exp(logits)
    return sum(
        reward * weights[first] / weights.sum() * weights[second] / (weights.sum() - weights[first])
        for (first, second), reward in REWARDS.items()
    )


def as_often_as_drawn() -> list[tuple[int, int]]:
    """With weights 1, 1 and 2 every chance is a number of twelfths: each draw that often."""
    found = []
    for first, second in DRAWS:
        twelfths = 12 * WEIGHTS[first] / 4 * WEIGHTS[second] / (4 - WEIGHTS[first])
        assert twelfths == pytest.approx(round(twelfths))
        found += [(first, second)] * round(twelfths)
    assert len(found) == 12
    return found


@pytest.mark.parametrize("baseline", [0.0, 5.0])
def test_the_policy_gradient_is_that_of_the_return(baseline):
    drawn = as_often_as_drawn()
    logits = torch.tensor(np.log(WEIGHTS), dtype=torch.float32, requires_grad=True)
    found = log_probability(logits.expand(12, 3), torch.tensor(drawn))
    rewards = torch.tensor([REWARDS[draw] - baseline for draw in drawn])
    clipped_objective((found - found.detach()).exp(), rewards, 0.2).backward()
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-5
        slope = (exact_return(np.log(WEIGHTS) + step) - exact_return(np.log(WEIGHTS) - step)) / 2e-5
        assert logits.grad[column].item() == pytest.approx(slope, abs=1e-5)


def test_advantages_are_standardised_in_groups():
    rewards = torch.tensor([1.0, 3.0, 10.0, 10.0, -2.0, 0.0, 5.0])
    groups = torch.tensor([0, 0, 3, 3, 1, 1, 1])
    found = advantages(rewards, groups)
    for group in (0, 1, 3):
        own = rewards[groups == group].numpy()
        expected = (own - own.mean()) / (own.std() + 1e-6)
        np.testing.assert_allclose(found[groups == group].numpy(), expected, atol=1e-5)
    centred = rewards.numpy() - np.array([2, 2, 10, 10, 1, 1, 1])
    whitened = advantages(rewards, groups, whitened=True).numpy()
    np.testing.assert_allclose(whitened, (centred - centred.mean()) / centred.std(), atol=1e-5)


def test_ratios_are_clipped_where_that_lowers_the_objective():
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5], requires_grad=True)
    found = clipped_objective(ratios, torch.tensor([1.0, -1.0, 1.0, -1.0]), 0.2)
    assert found.item() == pytest.approx((1.2 - 1.5 + 0.5 - 0.8) / 4)
    found.backward()
    assert ratios.grad.tolist() == [0.0, -0.25, 0.25, 0.0]


def test_harmonisation_has_the_value_of_stored_rewards_and_a_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(30, 6, generator=generator).requires_grad_()
    drawn = draw_ordered(logits, 2, generator)
    found = log_probability(logits, drawn)
    rewards, groups = torch.randn(30, generator=generator), torch.arange(30) % 3 * 2
    variance = group_return_variance((found - found.detach()).exp(), rewards, groups)
    means = [rewards[groups == group].numpy().mean() for group in (0, 2, 4)]
    assert variance.item() == pytest.approx(np.var(means), abs=1e-6), "groups without actions do not count"
    variance.backward()
    assert logits.grad.abs().max() > 1e-4
    assert group_return_variance(torch.ones(30), rewards, torch.zeros(30, dtype=torch.int64)).item() == 0


def returns_of_groups(harmony_weight: float) -> np.ndarray:
    """Two groups choose one of two: the first can earn 1, the second 0.2. Exact returns after training."""
    payoffs = torch.tensor([[1.0, 0.0], [0.2, 0.0]])
    config = HgpoConfig(harmony_weight=harmony_weight, entropy_weight=0.0)
    logits = torch.nn.Parameter(torch.zeros(2, 2))
    adam, noise = torch.optim.Adam([logits], lr=0.1), torch.Generator().manual_seed(0)
    groups = torch.arange(2).repeat(100)
    for _ in range(50):
        drawn = draw_ordered(logits[groups], 1, noise)
        found = log_probability(logits[groups], drawn)
        rewards = payoffs[groups].gather(1, drawn).squeeze(1)
        loss = policy_loss(
            config,
            (found - found.detach()).exp(),
            torch.zeros(1),
            advantage=advantages(rewards, groups),
            rewards=rewards,
            groups=groups,
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    return (torch.softmax(logits.detach(), dim=1) * payoffs).sum(dim=1).numpy()


def test_harmonisation_brings_the_returns_of_groups_together_by_taking_from_the_better():
    """Standardised advantages are of order 1 and returns are not: the default weight is too small to act."""
    plain, harmonised = returns_of_groups(0.0), returns_of_groups(30.0)
    np.testing.assert_allclose(plain, [1.0, 0.2], atol=0.05)
    assert harmonised.var() < plain.var() / 4
    assert harmonised[1] > 0.15, "the lower group does not pay for it"
    assert harmonised[0] < 0.5, "the better one does: the mean return falls"
    default = returns_of_groups(HgpoConfig().harmony_weight)
    assert default.var() == pytest.approx(plain.var(), rel=0.01)


def test_the_distance_from_the_first_policy_is_zero_for_itself_only():
    log_probs = torch.tensor([-3.0, -1.0, -2.0])
    assert first_policy_distance(log_probs, log_probs).item() == 0
    assert first_policy_distance(log_probs, log_probs + torch.tensor([0.5, -0.5, 0.0])).item() > 0.05

from dataclasses import replace
from math import log

import pytest
import torch
from policy_states import random_state

from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.rewards import ideal_temperature, negative_rewards, node_groups, temperature_rewards

CONFIG = HgpoConfig(
    hard_reward=1.5,
    false_negative_penalty=2.0,
    false_positive_penalty=3.0,
    easy_penalty=0.5,
    temperature_penalty=1.2,
)


def reward_by_hand(to_node: float, to_positive: float) -> float:
    reward = 0.0
    to_node, to_positive = round(to_node, 6), round(to_positive, 6)  # as in float32, 0.8 is 0.8
    if 0.5 < to_node < 0.8 and to_positive < 0.8:
        reward += 1.5
    if to_node >= 0.8:
        reward -= 2.0
    if to_positive >= 0.8:
        reward -= 3.0
    if to_node <= 0.2:
        reward -= 0.5
    return reward


def test_rewards_of_negatives_equal_the_formula_case_by_case():
    generator = torch.Generator().manual_seed(0)
    state = random_state(6, 40, 3, generator, torch.ones(6))
    state.to_nodes[:, :6] = torch.tensor([0.2, 0.5, 0.8, 0.65, 0.9, -0.3])
    state.to_positives[:, :6] = torch.tensor([-0.3, 0.8, 0.5, 0.1, 0.8, 0.2])
    chosen = torch.stack([torch.randperm(40, generator=generator)[:25] for _ in range(12)]).view(2, 6, 25)
    found = negative_rewards(CONFIG, state, chosen)
    cases = set()
    for sample in range(2):
        for node in range(6):
            rewards = [
                reward_by_hand(state.to_nodes[node, c].item(), state.to_positives[node, c].item())
                for c in chosen[sample, node].tolist()
            ]
            cases |= set(rewards)
            assert found[sample, node].item() == pytest.approx(sum(rewards) / 25, abs=1e-5)
    assert cases >= {1.5, 0.0, -0.5, -2.0, -3.0, -3.5, -5.0}, "every case of the formula is met"


def test_rewards_of_temperatures_are_highest_at_the_ideal_one():
    degrees = torch.tensor([0.0, 1.0, 50.0, 10_000.0])
    ideal = [1 / (1 + log(1 + degree)) for degree in degrees.tolist()]
    torch.testing.assert_close(ideal_temperature(degrees), torch.tensor(ideal))
    assert temperature_rewards(CONFIG, torch.tensor(ideal), degrees).abs().max() < 1e-6
    away = temperature_rewards(CONFIG, torch.tensor(ideal).expand(2, 4) + 0.25, degrees)
    torch.testing.assert_close(away, torch.full((2, 4), -0.3))


def test_groups_by_degree_are_the_released_codes():
    degrees = torch.tensor([0.0, 10.0, 11.0, 30.0, 31.0, 70.0, 100.0, 101.0, 9e5])
    assert node_groups(CONFIG, degrees).tolist() == [0, 0, 1, 1, 2, 2, 3, 4, 4]


def test_other_groups_are_equal_shares_or_one():
    degrees = torch.tensor([5.0, 5.0, 0.0, 9.0, 1.0, 700.0])
    shares = HgpoConfig(groups="quantile", num_groups=3)
    assert node_groups(shares, degrees).tolist() == [1, 1, 0, 2, 0, 2]
    assert node_groups(HgpoConfig(groups="none"), degrees).tolist() == [0] * 6


def test_nothing_near_and_nothing_easy_is_worth_nothing():
    state = random_state(2, 3, 4, torch.Generator().manual_seed(0), torch.ones(2))
    between = replace(state, to_nodes=torch.full((2, 3), 0.3), to_positives=torch.zeros(2, 3))
    assert negative_rewards(CONFIG, between, torch.tensor([[[0, 1], [1, 2]]])).tolist() == [[0.0, 0.0]]

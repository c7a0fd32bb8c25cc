"""What a policy has learned, read from what it does."""

import math

import pytest
import torch
from policy_states import random_state

from featurestore.errors import StoreError
from featurestore.progress import no_progress
from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.policy import squash
from recommender.hgpo.reading import read_policy
from recommender.hgpo.rewards import ideal_temperature, negative_rewards, node_groups
from recommender.hgpo.side import HgpoAgent
from recommender.models.lghrec import Config, Model
from recommender.testing import checkerboard, parity_features

QUICK = {"epochs": 2, "eval_every": 2, "batch_size": 128, "embedding_dim": 8, "learning_rate": 0.02}
DEGREES = torch.tensor([3.0, 5.0, 20.0, 200.0])


def agent_and_noise(**settings) -> tuple[HgpoConfig, HgpoAgent, torch.Generator]:
    config = HgpoConfig(embedding_dim=8, pool_size=20, num_chosen=5, **settings)
    return config, HgpoAgent(config, 8, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2)


def test_every_group_is_read_by_its_own_actions():
    config, agent, noise = agent_and_noise()
    state = random_state(4, 20, 8, torch.Generator().manual_seed(3), DEGREES)
    agent.decide(state, node_groups(config, DEGREES), 5, noise)
    (episode,) = episodes = agent.take_episodes()
    found = list(read_policy(config, "users", episodes, 7, noise))
    assert [(r.group, r.num_actions, r.updates) for r in found] == [
        ("≤ 10", 2, 7),
        ("11-30", 1, 7),
        ("> 100", 1, 7),
    ]
    temperatures = squash(config, episode.action.raw[0])
    rewards = negative_rewards(config, state, episode.action.chosen)[0]
    first = found[0]
    assert first.temperature.mean == pytest.approx(temperatures[:2].mean().item())
    assert first.temperature.deviation == pytest.approx((temperatures[0] - temperatures[1]).abs().item() / 2)
    assert first.temperature.ideal == pytest.approx(ideal_temperature(DEGREES[:2]).mean().item())
    distance = (config.temperature - ideal_temperature(DEGREES[:2])).abs().mean().item()
    assert first.temperature.constant_reward == pytest.approx(-config.temperature_penalty * distance)
    assert first.choice.reward == pytest.approx(rewards[:2].mean().item())
    assert 0.9 < first.choice.evenness <= 1, "a new policy chooses alike"
    assert agent.num_waiting == 0, "what is read is not learned from"


def test_one_that_learned_to_choose_earns_more_than_uniform_negatives():
    config, agent, noise = agent_and_noise(
        temperature_by="fixed", policy_learning_rate=0.05, entropy_weight=0.01
    )
    draw = torch.Generator().manual_seed(5)
    degrees = torch.full((64,), 5.0)
    for _ in range(200):
        state = random_state(64, 20, 8, draw, degrees)
        agent.decide(state, node_groups(config, degrees), 5, noise)
        agent.learn()
    agent.decide(random_state(64, 20, 8, draw, degrees), node_groups(config, degrees), 5, noise)
    (found,) = read_policy(config, "items", agent.take_episodes(), agent.updates, noise)
    assert found.temperature is None
    assert found.updates == 200
    assert found.choice.reward > found.choice.uniform_reward + 0.1
    assert found.choice.cosine > found.choice.uniform_cosine
    assert found.choice.evenness < 0.95


def test_a_fitted_model_tells_what_its_policies_learned_and_is_left_as_it_is():
    data, _ = checkerboard()
    model = Model(Config(**QUICK))
    model.fit(data, features=parity_features(), seed=3, progress=no_progress)
    before = {name: array.copy() for name, array in model.arrays()["weights"].items()}
    found = model.read_policies(data, parity_features())
    assert {reading.side for reading in found} == {"users", "items"}
    assert all(reading.updates == 2 for reading in found)
    assert all(math.isfinite(reading.temperature.reward) for reading in found)
    assert found == model.read_policies(data, parity_features()), "the same draws for the same seed"
    assert all((before[name] == array).all() for name, array in model.arrays()["weights"].items())


@pytest.mark.parametrize(
    "settings", [{"contrast_weight": 0}, {"temperature_by": "ideal", "negatives_by": "hard"}]
)
def test_without_a_policy_there_is_nothing_to_read(settings):
    data, _ = checkerboard()
    model = Model(Config(**QUICK, **settings))
    model.fit(data, features=None, seed=3, progress=no_progress)
    assert model.read_policies(data, None) == ()


def test_a_model_that_was_not_fitted_says_so():
    with pytest.raises(StoreError, match="Call fit or load_arrays first"):
        Model(Config()).read_policies(checkerboard()[0], None)


def test_a_loaded_model_tells_the_same_and_asks_for_the_features_it_was_fitted_on():
    data, _ = checkerboard()
    model = Model(Config(**QUICK, pools="items"))
    model.fit(data, features=parity_features(), seed=3, progress=no_progress)
    loaded = Model(Config(**QUICK, pools="items"))
    loaded.load_arrays(model.arrays())
    found = loaded.read_policies(data, parity_features())
    assert found == model.read_policies(data, parity_features())
    assert {reading.side for reading in found} == {"users"}, "the released form has no policy of items"
    with pytest.raises(StoreError, match="fitted with vectors of items, and none are given"):
        loaded.read_policies(data, None)

"""The agent on bandits whose best actions are known."""

import pytest
import torch
from policy_states import random_state, state_of
from torch.distributions import Categorical, Normal
from torch.nn.functional import normalize

from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.policy import Policy, draw_action, entropies, log_probabilities
from recommender.hgpo.rewards import ideal_temperature, negative_rewards, node_groups
from recommender.hgpo.side import HgpoAgent

DEGREES = torch.tensor([3.0, 20.0, 200.0]).repeat(32)


def agent(**settings) -> tuple[HgpoAgent, HgpoConfig]:
    config = HgpoConfig(embedding_dim=4, **settings)
    return HgpoAgent(config, 4, torch.Generator().manual_seed(0)), config


def weights_of(module: torch.nn.Module) -> list[torch.Tensor]:
    return [weight.clone() for weight in module.parameters()]


def is_same(before: list[torch.Tensor], module: torch.nn.Module) -> bool:
    return all(torch.equal(one, other) for one, other in zip(before, module.parameters(), strict=True))


def mean_temperatures(**settings) -> torch.Tensor:
    """Of three degrees after training, beginning at 0.5."""
    ours, config = agent(
        negatives_by="in_batch",
        temperature=0.5,
        policy_learning_rate=0.005,
        buffer_size=96,
        **settings,
    )
    generator = torch.Generator().manual_seed(1)
    groups = node_groups(config, DEGREES)
    last = []
    for step in range(200):
        state = random_state(len(DEGREES), 8, 4, generator, DEGREES)
        drawn = ours.decide(state, groups, 4, generator)
        assert drawn.chosen is None
        ours.learn(at_least=config.buffer_size)
        if step >= 180:
            last.append(drawn.temperatures)
    return torch.stack(last).view(-1, 32, 3).mean(dim=(0, 1))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="groups"),
        pytest.param(
            {"advantage": "anchor", "num_samples": 4, "entropy_weight": 0.01, "harmony_weight": 0}, id="grpo"
        ),
        pytest.param({"update_epochs": 3}, id="several-epochs"),
    ],
)
def test_the_best_temperature_of_every_degree_is_found(settings):
    found = mean_temperatures(**settings)
    expected = ideal_temperature(DEGREES[:3])
    assert expected.tolist() == pytest.approx([0.42, 0.247, 0.159], abs=0.001)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_the_weight_of_harmonisation_reaches_the_update_of_the_policy():
    def after(weight: float) -> list[torch.Tensor]:
        ours, config = agent(harmony_weight=weight, buffer_size=96, update_epochs=2)
        generator = torch.Generator().manual_seed(1)
        state = random_state(len(DEGREES), 8, 4, generator, DEGREES)
        ours.decide(state, node_groups(config, DEGREES), 4, generator)
        ours.learn()
        return weights_of(ours.policy)

    assert all(torch.equal(one, other) for one, other in zip(after(0.5), after(0.5), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(after(0.5), after(0.0), strict=True))


def test_negatives_worth_choosing_are_chosen():
    """One candidate of four is hard for every node; the others are easy, or too near."""
    ours, config = agent(
        temperature_by="fixed", policy_learning_rate=0.01, entropy_weight=0.01, harmony_weight=0.0
    )
    generator = torch.Generator().manual_seed(1)
    centre = torch.tensor([1.0, 0.0, 0.0, 0.0])
    groups = torch.zeros(64, dtype=torch.int64)
    rewards = []
    for _ in range(150):
        nodes = normalize(centre + 0.1 * torch.randn(64, 4, generator=generator), dim=1)
        positives = normalize(torch.tensor([0.2, 1.0, 0.0, 0.0]).expand(64, 4), dim=1)
        aims = torch.tensor([[0.65, 0.0, 0.76, 0.0], [0, 0, 0, 1.0], [1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
        candidates = normalize(
            aims[torch.randperm(4, generator=generator)].repeat_interleave(5, dim=0), dim=1
        )
        state = state_of(nodes, positives, candidates, torch.full((64,), 5.0))
        drawn = ours.decide(state, groups, 4, generator)
        assert drawn.temperatures is None
        rewards.append(negative_rewards(config, state, drawn.chosen[None]).mean().item())
        ours.learn()
    assert sum(rewards[:5]) / 5 < 0.0
    assert sum(rewards[-5:]) / 5 > 0.8, "of 20 the five that are hard for a node, wherever they stand"


def test_log_probabilities_and_entropies_are_those_of_the_distributions():
    config = HgpoConfig(embedding_dim=4)
    policy = Policy(config, 4, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    state = random_state(3, 7, 4, generator, torch.tensor([0.0, 4.0, 90.0]))
    state.is_barred[1, 5] = True
    with torch.no_grad():
        policy.choice.features.copy_(torch.tensor([1.0, -2.0, 0.3]))
        policy.choice.of_candidates.weight.mul_(100)
    outputs = policy(state)
    action = draw_action(outputs, 3, 2, generator)
    log_probs, entropy = log_probabilities(config, outputs, action), entropies(outputs)
    vectors = torch.cat([state.nodes, state.positives], dim=1)
    queries = policy.choice.of_nodes(vectors) @ policy.choice.of_candidates(state.candidates).T
    logits = queries + state.to_nodes - 2 * state.to_positives + 0.3 * torch.log(torch.tensor(2.0))
    logits[1, 5] = -1e9
    own = torch.cat(
        [vectors, torch.log1p(state.degrees)[:, None], state.candidates.mean(dim=0).expand(3, 4)], 1
    )
    head = policy.temperature
    first = torch.cat([head.of_nodes.weight, head.of_pool.weight], dim=1)
    outputs = head.out(torch.relu(head.hidden(torch.relu(own @ first.T))))
    normal = Normal(outputs[:, 0], outputs[:, 1].exp())
    for sample in range(2):
        for node in range(3):
            left, expected = logits[node].clone(), normal.log_prob(action.raw[sample])[node]
            for column in action.chosen[sample, node].tolist():
                expected = expected + torch.log_softmax(left, dim=0)[column]
                left[column] = -torch.inf
            torch.testing.assert_close(log_probs[sample, node], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(entropy, Categorical(logits=logits).entropy() + normal.entropy())


def test_a_new_policy_is_near_the_setting_and_chooses_alike():
    ours, _ = agent(temperature=0.3)
    generator = torch.Generator().manual_seed(0)
    state = random_state(400, 10, 4, generator, torch.arange(400.0))
    drawn = ours.decide(state, torch.zeros(400, dtype=torch.int64), 3, generator)
    assert drawn.temperatures.mean().item() == pytest.approx(0.3, abs=0.05)
    counts = torch.bincount(drawn.chosen.flatten(), minlength=10) / 1200
    torch.testing.assert_close(counts, torch.full((10,), 0.1), atol=0.03, rtol=0)


def test_it_learns_once_the_buffer_is_full_and_forgets_what_it_learned_from():
    ours, _ = agent(num_samples=2)
    generator = torch.Generator().manual_seed(0)
    state = random_state(5, 8, 4, generator, torch.ones(5))
    before = weights_of(ours.policy)
    ours.learn()
    ours.decide(state, torch.arange(5), 3, generator)
    ours.learn(at_least=11)
    assert is_same(before, ours.policy)
    assert ours.num_waiting == 10
    ours.learn(at_least=10)
    assert not is_same(before, ours.policy)
    assert (ours.num_waiting, ours.adam.steps.item()) == (0, 1)
    assert not any(weight.requires_grad or weight.grad is not None for weight in ours.parameters())


def test_a_distance_from_the_first_policy_holds_it_back():
    held = mean_temperatures(kl_weight=50.0, update_epochs=2)
    free = ideal_temperature(DEGREES[:3])
    assert (held - 0.5).abs().max() < (free - 0.5).abs().max() / 2

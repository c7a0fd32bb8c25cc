"""HGPO for the nodes of one side: a policy, what it did and was rewarded for, and its updates.

LGHRec (arXiv 2505.12396), a one-step decision per node of a batch: act, be rewarded, and learn once as many
actions are kept as the buffer holds; it is emptied then. Ours: what is left at the end of an epoch is learned
from as well, so that no action outlives a checkpoint; and π_old is not computed when acting, since no update
stands between an action and the update that learns from it.

The policy's weights are parameters without gradients, as its Adam's state is: the training loop keeps them
and leaves them alone. Letters as in `recommender.hgpo_policy`.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.func import functional_call

from recommender.hgpo_config import HgpoConfig
from recommender.hgpo_objective import advantages, first_policy_distance, policy_loss
from recommender.hgpo_policy import Action, Policy, State, squash
from recommender.hgpo_rewards import negative_rewards, temperature_rewards
from recommender.stored_adam import StoredAdam


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done in this step; None where something else decides.

    Attributes:
        chosen: (m, M) int64 candidates.
        temperatures: (m,) τ.
    """

    chosen: torch.Tensor | None
    temperatures: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Episode:
    """Actions of one batch.

    Attributes:
        state: Of m nodes.
        action: G per node.
        rewards: (G, m) r_t.
        groups: (m,) int64.
    """

    state: State
    action: Action
    rewards: torch.Tensor
    groups: torch.Tensor


class HgpoAgent(torch.nn.Module):
    """Chooses for the nodes of one side, and learns from it.

    Args:
        config: Settings.
        dim: d.
        generator: Of the policy's first weights.
    """

    def __init__(self, config: HgpoConfig, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self._config = config
        self.policy = Policy(config, dim, generator).requires_grad_(requires_grad=False)
        self.adam = StoredAdam(list(self.policy.parameters()), config.policy_learning_rate)
        self.first_policy = copy.deepcopy(self.policy) if config.kl_weight else None
        self._episodes: list[Episode] = []

    @property
    def num_waiting(self) -> int:
        """Actions that have not been learned from."""
        return sum(episode.rewards.numel() for episode in self._episodes)

    @torch.no_grad()
    def decide(self, state: State, groups: torch.Tensor, num_chosen: int, noise: torch.Generator) -> Decision:
        """Act for m nodes, and keep what was done and its rewards.

        Args:
            state: Of the nodes.
            groups: (m,) int64: theirs.
            num_chosen: M.
            noise: On the state's device.
        """
        config = self._config
        action = self.policy.act(state, num_chosen, config.num_samples, noise)
        rewards = state.nodes.new_zeros(config.num_samples, len(groups))
        chosen = temperatures = None
        if action.chosen is not None:
            rewards += negative_rewards(config, state, action.chosen)
            chosen = action.chosen[0]
        if action.raw is not None:
            drawn = squash(config, action.raw)  # (G, m)
            rewards += temperature_rewards(config, drawn, state.degrees)
            temperatures = drawn[0]
        self._episodes.append(Episode(state, action, rewards, groups))
        return Decision(chosen, temperatures)

    def learn(self, *, at_least: int = 1) -> None:
        """One update from what is kept, if that is enough actions; nothing is kept then."""
        if self.num_waiting < at_least:
            return
        config, episodes = self._config, self._episodes
        groups = torch.cat([e.groups.expand_as(e.rewards).flatten() for e in episodes])  # (n,)
        rewards = torch.cat([e.rewards.flatten() for e in episodes])  # (n,)
        beside = _nodes_of(episodes) if config.advantage == "anchor" else groups
        advantage = advantages(rewards, beside, whitened=config.advantage == "whitened")
        old: torch.Tensor | None = None
        for _ in range(config.update_epochs):
            with torch.enable_grad():
                weights = {n: w.detach().requires_grad_() for n, w in self.policy.named_parameters()}
                log_probs, entropy = _evaluated(self.policy, weights, episodes)
                old = log_probs.detach() if old is None else old
                loss = policy_loss(
                    config,
                    (log_probs - old).exp(),
                    entropy,
                    advantage=advantage,
                    rewards=rewards,
                    groups=groups,
                )
                loss = loss + self._distance(log_probs)
                gradients = torch.autograd.grad(loss, list(weights.values()))
            self.adam.step(list(self.policy.parameters()), gradients)
        self._episodes = []

    def _distance(self, log_probs: torch.Tensor) -> torch.Tensor | float:
        """β KL; 0 without a first policy."""
        if self.first_policy is None:
            return 0.0
        first = dict(self.first_policy.named_parameters())
        first_log_probs, _ = _evaluated(self.policy, first, self._episodes)
        return self._config.kl_weight * first_policy_distance(log_probs, first_log_probs)


def _evaluated(
    policy: Policy, weights: Mapping[str, torch.Tensor], episodes: list[Episode]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n,) log π of all actions, and the entropies of all states, with other weights."""
    found = [functional_call(policy, dict(weights), (e.state, e.action)) for e in episodes]
    return torch.cat([log.flatten() for log, _ in found]), torch.cat([entropy for _, entropy in found])


def _nodes_of(episodes: list[Episode]) -> torch.Tensor:
    """(n,) int64: equal numbers are actions of one node in one batch."""
    numbers: list[torch.Tensor] = []
    start = 0
    for episode in episodes:
        own = torch.arange(start, start + len(episode.groups), device=episode.groups.device)
        numbers.append(own.expand_as(episode.rewards).flatten())
        start += len(own)
    return torch.cat(numbers)

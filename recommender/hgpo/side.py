"""HGPO for the nodes of one side: a policy, what it did and was rewarded for, and its updates.

LGHRec (arXiv 2505.12396), a one-step decision per node of a batch: act, be rewarded, and learn once as many
actions are kept as the buffer holds; it is emptied then. Ours: what is left at the end of an epoch is learned
from as well, so that no action outlives a checkpoint. No update stands between an action and the one that
learns from it: the outputs that acted are kept with their graph, and the first step computes none anew.

The policy's weights are parameters without gradients, as its Adam's state is: the training loop keeps them
and leaves them alone. Letters as in `recommender.hgpo.policy`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.func import functional_call

from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.objective import advantages, first_policy_distance, policy_loss
from recommender.hgpo.policy import (
    Action,
    Outputs,
    Policy,
    State,
    draw_action,
    entropies,
    log_probabilities,
    squash,
)
from recommender.hgpo.rewards import negative_rewards, temperature_rewards
from recommender.training.stored_adam import StoredAdam


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
        outputs: Of the policy that acted; gradients lead to its weights.
        action: G per node.
        rewards: (G, m) r_t.
        groups: (m,) int64.
    """

    state: State
    outputs: Outputs
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
        self._leaves: dict[str, torch.Tensor] = {}

    @property
    def num_waiting(self) -> int:
        """Actions that have not been learned from."""
        return sum(episode.rewards.numel() for episode in self._episodes)

    @property
    def updates(self) -> int:
        """Steps that the policy has taken."""
        return int(self.adam.steps)

    def take_episodes(self) -> list[Episode]:
        """What was done since the last update; nothing will be learned from it."""
        episodes = self._episodes
        self._episodes, self._leaves = [], {}
        return episodes

    def decide(self, state: State, groups: torch.Tensor, num_chosen: int, noise: torch.Generator) -> Decision:
        """Act for m nodes, and keep what was done and its rewards.

        Args:
            state: Of the nodes.
            groups: (m,) int64: theirs.
            num_chosen: M.
            noise: On the state's device.
        """
        config = self._config
        outputs = self._outputs(state)
        action = draw_action(outputs, num_chosen, config.num_samples, noise)
        rewards = state.nodes.new_zeros(config.num_samples, len(groups))
        chosen = temperatures = None
        if action.chosen is not None:
            rewards += negative_rewards(config, state, action.chosen)
            chosen = action.chosen[0]
        if action.raw is not None:
            drawn = squash(config, action.raw)  # (G, m)
            rewards += temperature_rewards(config, drawn, state.degrees)
            temperatures = drawn[0]
        self._episodes.append(Episode(state, outputs, action, rewards, groups))
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
            outputs = [self._outputs(e.state) if old is not None else e.outputs for e in episodes]
            log_probs = _of_all(config, outputs, episodes)  # (n,)
            old = log_probs.detach() if old is None else old
            loss = policy_loss(
                config,
                (log_probs - old).exp(),
                torch.cat([entropies(of) for of in outputs]),
                advantage=advantage,
                rewards=rewards,
                groups=groups,
            )
            loss = loss + self._distance(log_probs)
            gradients = torch.autograd.grad(loss, list(self._leaves.values()))
            self.adam.step(list(self.policy.parameters()), gradients)
        self.take_episodes()

    def _outputs(self, state: State) -> Outputs:
        """Of the policy as it is; gradients lead to ``_leaves``, which share its weights' memory."""
        if not self._leaves:
            self._leaves = {n: w.detach().requires_grad_() for n, w in self.policy.named_parameters()}
        with torch.enable_grad():
            return functional_call(self.policy, self._leaves, (state,), tie_weights=False)

    def _distance(self, log_probs: torch.Tensor) -> torch.Tensor | float:
        """β KL; 0 without a first policy."""
        if self.first_policy is None:
            return 0.0
        outputs = [self.first_policy(episode.state) for episode in self._episodes]
        return self._config.kl_weight * first_policy_distance(
            log_probs, _of_all(self._config, outputs, self._episodes)
        )


def _of_all(config: HgpoConfig, outputs: Sequence[Outputs], episodes: Sequence[Episode]) -> torch.Tensor:
    """(n,) log π of the actions of all episodes."""
    pairs = zip(outputs, episodes, strict=True)
    return torch.cat([log_probabilities(config, of, episode.action).flatten() for of, episode in pairs])


def _nodes_of(episodes: list[Episode]) -> torch.Tensor:
    """(n,) int64: equal numbers are actions of one node in one batch."""
    numbers: list[torch.Tensor] = []
    start = 0
    for episode in episodes:
        own = torch.arange(start, start + len(episode.groups), device=episode.groups.device)
        numbers.append(own.expand_as(episode.rewards).flatten())
        start += len(own)
    return torch.cat(numbers)

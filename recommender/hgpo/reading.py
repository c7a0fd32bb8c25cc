"""What a policy has learned: what it does in some batches, beside what it would be worth not to have it.

Each group of nodes is read by its own actions: the temperatures drawn beside T_ideal and beside the setting
that the policy began with, and the negatives chosen beside as many that are drawn uniformly from the same
pools. Rewards are those of `recommender.hgpo.rewards`; a policy that has learned has higher ones than what it
is read beside.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import torch

from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.plackett_luce import draw_ordered
from recommender.hgpo.policy import State, squash
from recommender.hgpo.rewards import group_names, ideal_temperature, negative_rewards, temperature_rewards
from recommender.hgpo.side import Episode

Side: TypeAlias = Literal["users", "items"]
SIDES: Final[tuple[Side, ...]] = ("users", "items")


@dataclass(frozen=True, slots=True)
class TemperatureReading:
    """Temperatures of a group; means over its actions.

    Attributes:
        mean: Of τ.
        deviation: Standard deviation of τ.
        ideal: T_ideal.
        reward: R_τ, without unit, at most 0.
        constant_reward: R_τ of the setting ``temperature``.
    """

    mean: float
    deviation: float
    ideal: float
    reward: float
    constant_reward: float


@dataclass(frozen=True, slots=True)
class ChoiceReading:
    """Negatives of a group; means over its actions.

    Attributes:
        reward: R_neg.
        uniform_reward: R_neg of as many uniform negatives.
        cosine: Of a node and its negatives.
        uniform_cosine: Of a node and uniform negatives.
        evenness: Entropy of the first choice as a share of what it is at most: 1 is a uniform choice.
    """

    reward: float
    uniform_reward: float
    cosine: float
    uniform_cosine: float
    evenness: float


@dataclass(frozen=True, slots=True)
class PolicyReading:
    """One group of one side.

    Attributes:
        side: Whose policy it is.
        group: In words.
        num_actions: Actions read.
        updates: Steps that the policy had taken.
        temperature: None where something else sets τ.
        choice: None where something else chooses negatives.
    """

    side: Side
    group: str
    num_actions: int
    updates: int
    temperature: TemperatureReading | None
    choice: ChoiceReading | None


@dataclass(frozen=True, slots=True)
class _PerAction:
    """Columns of (n,) values, one per action."""

    groups: torch.Tensor
    temperature: dict[str, torch.Tensor]
    choice: dict[str, torch.Tensor]


@torch.no_grad()
def read_policy(
    config: HgpoConfig, side: Side, episodes: Sequence[Episode], updates: int, noise: torch.Generator
) -> Iterator[PolicyReading]:
    """A reading of every group that acted, in the order of groups.

    Args:
        config: Settings.
        side: Of the nodes.
        episodes: What the policy did; at least one.
        updates: Steps that it had taken.
        noise: Of the uniform negatives, on the device of the episodes.
    """
    parts = [_per_action(config, episode, noise) for episode in episodes]
    groups = torch.cat([part.groups for part in parts])
    names = group_names(config)
    for group in groups.unique().tolist():
        inside = groups == group
        temperature = _of_group([part.temperature for part in parts], inside)
        choice = _of_group([part.choice for part in parts], inside)
        yield PolicyReading(
            side=side,
            group=names[group],
            num_actions=int(inside.sum()),
            updates=updates,
            temperature=_temperature(temperature) if temperature else None,
            choice=ChoiceReading(**{k: v.mean().item() for k, v in choice.items()}) if choice else None,
        )


def _per_action(config: HgpoConfig, episode: Episode, noise: torch.Generator) -> _PerAction:
    """The first action of every node, which acted."""
    state, action = episode.state, episode.action
    temperature: dict[str, torch.Tensor] = {}
    choice: dict[str, torch.Tensor] = {}
    if action.raw is not None:
        drawn = squash(config, action.raw[0])  # (m,)
        constant = torch.full_like(drawn, config.temperature)
        temperature = {
            "mean": drawn,
            "ideal": ideal_temperature(state.degrees),
            "reward": temperature_rewards(config, drawn, state.degrees),
            "constant_reward": temperature_rewards(config, constant, state.degrees),
        }
    if action.chosen is not None and episode.outputs.logits is not None:
        chosen = action.chosen[:1]  # (1, m, M)
        alike = torch.zeros_like(state.to_nodes).masked_fill(state.is_barred, -torch.inf)
        uniform = draw_ordered(alike.unsqueeze(0), chosen.shape[2], noise)
        choice = {
            "reward": negative_rewards(config, state, chosen)[0],
            "uniform_reward": negative_rewards(config, state, uniform)[0],
            "cosine": state.to_nodes.gather(1, chosen[0]).mean(dim=1),
            "uniform_cosine": state.to_nodes.gather(1, uniform[0]).mean(dim=1),
            "evenness": _evenness(episode.outputs.logits, state),
        }
    return _PerAction(episode.groups, temperature, choice)


def _evenness(logits: torch.Tensor, state: State) -> torch.Tensor:
    """(m,) entropy of the first choice over the largest there is; 1 where there is one candidate."""
    log_shares = torch.log_softmax(logits, dim=1)
    entropy = -(log_shares.exp() * log_shares).sum(dim=1)
    most = (~state.is_barred).sum(dim=1).float().log()
    return torch.where(most > 0, entropy / most.clamp(min=math.log(2)), torch.ones_like(entropy))


def _of_group(parts: Sequence[dict[str, torch.Tensor]], inside: torch.Tensor) -> dict[str, torch.Tensor]:
    """Columns of all episodes, a group's rows of them."""
    return {name: torch.cat([part[name] for part in parts])[inside] for name in parts[0]}


def _temperature(columns: dict[str, torch.Tensor]) -> TemperatureReading:
    means = {name: values.mean().item() for name, values in columns.items()}
    return TemperatureReading(deviation=columns["mean"].std(correction=0).item(), **means)

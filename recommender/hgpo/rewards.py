"""HGPO's rewards, and the groups of nodes in which they are compared.

LGHRec (arXiv 2505.12396), numbered as in its released code. s are cosines, v a node, p its positive, n a
chosen negative, d_v the degree of v:

    (1) R_hard  = +w1                                   if θ_easy < s(v, n) < θ_FN and s(p, n) < θ_FP
    (2) R_false = -w2 [s(v, n) ≥ θ_FN] - w3 [s(p, n) ≥ θ_FP]
    (3) R_easy  = -w4                                   if s(v, n) ≤ θ_easy_low
    (4) R_neg   = mean over the M chosen of (1) + (2) + (3)
    (5) R_τ     = -w5 |τ_v - T_ideal(d_v)|,             T_ideal(d) = 1 / (1 + ln(1 + d))

Ours: v is read in its view z'_v, n and p in theirs, z''_n and z''_p, where the released code reads layer-0
embeddings. Unless pools=items, p is the node itself, so that s(p, n) is about s(v, n) and the penalties w2
and w3 fall on nearly the same candidates.

Letters: m nodes, P candidates, M chosen, G actions per node.
"""

from itertools import pairwise
from typing import Final

import torch

from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.policy import State

_DEGREE_BOUNDS: Final = (10, 30, 70, 100)


def negative_rewards(config: HgpoConfig, state: State, chosen: torch.Tensor) -> torch.Tensor:
    """R_neg, eq. 1-4.

    Args:
        config: Weights and thresholds.
        state: Of m nodes.
        chosen: (G, m, M) int64 candidates.

    Returns:
        (G, m) float32.
    """
    is_false_negative = state.to_nodes >= config.false_negative_above  # (m, P)
    is_false_positive = state.to_positives >= config.false_positive_above
    is_hard = (state.to_nodes > config.hard_above) & ~is_false_negative & ~is_false_positive
    rewards = config.hard_reward * is_hard.float()
    rewards.add_(is_false_negative, alpha=-config.false_negative_penalty)
    rewards.add_(is_false_positive, alpha=-config.false_positive_penalty)
    rewards.add_(state.to_nodes <= config.easy_below, alpha=-config.easy_penalty)
    return rewards.expand(len(chosen), *rewards.shape).gather(2, chosen).mean(dim=2)


def temperature_rewards(
    config: HgpoConfig, temperatures: torch.Tensor, degrees: torch.Tensor
) -> torch.Tensor:
    """R_τ, eq. 5, of (…, m) τ and (m,) degrees."""
    return -config.temperature_penalty * (temperatures - ideal_temperature(degrees)).abs()


def ideal_temperature(degrees: torch.Tensor) -> torch.Tensor:
    """T_ideal of degrees as float32, of any shape: 1 for none, 0.1 for about 8,000."""
    return 1 / (1 + degrees.log1p())


def node_groups(config: HgpoConfig, degrees: torch.Tensor) -> torch.Tensor:
    """The group of every node of one side.

    Args:
        config: How they are made.
        degrees: (n,) float32.

    Returns:
        (n,) int64 in [0, K). By degree as the released code has it: up to 10 is the first, above 100 the
        last. With ``quantile``, groups of equal size by rank of degree, equal degrees in the order of rows.
    """
    if config.groups == "none":
        return torch.zeros(len(degrees), dtype=torch.int64, device=degrees.device)
    if config.groups == "degree":
        return torch.bucketize(degrees, torch.tensor(_DEGREE_BOUNDS, device=degrees.device))
    ranks = degrees.argsort(stable=True).argsort()
    return ranks * config.num_groups // len(degrees)


def group_names(config: HgpoConfig) -> tuple[str, ...]:
    """Words for every group of `node_groups`, in its order."""
    if config.groups == "none":
        return ("all",)
    if config.groups == "degree":
        inner = [f"{low + 1}-{high}" for low, high in pairwise(_DEGREE_BOUNDS)]
        return (f"≤ {_DEGREE_BOUNDS[0]}", *inner, f"> {_DEGREE_BOUNDS[-1]}")
    return tuple(f"share {number + 1} of {config.num_groups}" for number in range(config.num_groups))

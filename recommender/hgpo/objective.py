"""HGPO's objective: a clipped policy gradient; rewards are compared in groups, and groups with each other.

LGHRec (arXiv 2505.12396), eq. 8-10, with the clipping of Schulman et al., "Proximal Policy Optimization
Algorithms", 2017. t are actions, g(t) their groups, r_t rewards, q_t = π_θ / π_old:

    A_t = (r_t - mean_g(t)) / (std_g(t) + 1e-6)
    L_POLICY = mean min(q_t A_t, clip(q_t, 1 - ε, 1 + ε) A_t)
    L_HARM = λ_harm Var_g(J_g),      J_g = mean over t in g of q_t r_t
    minimise  -L_POLICY - c1 entropy + L_HARM + β KL

Our reconstruction is L_HARM: the released code's is a function of stored rewards only, whose gradient by θ is
zero. At q = 1 both have one value. ``whitened`` is the released code's A_t: r_t - mean_g(t), standardised
over the whole buffer. KL is to the first policy, estimated as x - ln x - 1 of x = π_first / π_θ (Schulman's
"Approximating KL Divergence", 2020), and off by default.
"""

import torch

from recommender.hgpo.config import HgpoConfig


def advantages(rewards: torch.Tensor, groups: torch.Tensor, *, whitened: bool = False) -> torch.Tensor:
    """A_t.

    Args:
        rewards: (n,) r_t.
        groups: (n,) int64 ≥ 0.
        whitened: Standardise over all, not in groups.

    Returns:
        (n,); 0 of a group whose rewards are one.
    """
    centred = rewards - _group_means(rewards, groups)[groups]
    if whitened:
        return (centred - centred.mean()) / (centred.std(correction=0) + 1e-6)
    deviations = _group_means(centred.square(), groups).sqrt()
    return centred / (deviations[groups] + 1e-6)


def clipped_objective(ratios: torch.Tensor, advantage: torch.Tensor, clip_range: float) -> torch.Tensor:
    """L_POLICY of (n,) q_t and A_t, to be maximised: a scalar."""
    clipped = ratios.clamp(1 - clip_range, 1 + clip_range)
    return torch.minimum(ratios * advantage, clipped * advantage).mean()


def group_return_variance(ratios: torch.Tensor, rewards: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Var_g(J_g) over the groups that have an action.

    Args:
        ratios: (n,) q_t, which carry gradients.
        rewards: (n,) r_t.
        groups: (n,) int64 ≥ 0.

    Returns:
        A scalar; 0 of a single group.
    """
    present = torch.bincount(groups) > 0
    return _group_means(ratios * rewards, groups)[present].var(correction=0)


def first_policy_distance(log_probs: torch.Tensor, first_log_probs: torch.Tensor) -> torch.Tensor:
    """KL estimate from (n,) log π_θ and log π_first of actions of π_θ: a scalar ≥ 0."""
    difference = first_log_probs - log_probs
    return (difference.exp() - difference - 1).mean()


def policy_loss(
    config: HgpoConfig,
    ratios: torch.Tensor,
    entropy: torch.Tensor,
    *,
    advantage: torch.Tensor,
    rewards: torch.Tensor,
    groups: torch.Tensor,
) -> torch.Tensor:
    """-L_POLICY - c1 entropy + L_HARM: a scalar.

    Args:
        config: ε and the weights.
        ratios: (n,) q_t.
        entropy: Of any shape; its mean counts.
        advantage: (n,) A_t.
        rewards: (n,) r_t.
        groups: (n,) int64 groups of L_HARM.
    """
    loss = -clipped_objective(ratios, advantage, config.clip_range)
    loss = loss - config.entropy_weight * entropy.mean()
    if config.harmony_weight:
        loss = loss + config.harmony_weight * group_return_variance(ratios, rewards, groups)
    return loss


def _group_means(values: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """(largest group + 1,) mean of each group; 0 of an empty one."""
    counts = torch.bincount(groups)
    sums = values.new_zeros(len(counts)).index_add(0, groups, values)
    return sums / counts.clamp(min=1)

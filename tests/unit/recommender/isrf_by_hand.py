"""ISRF's equations, slowly: dense float64, every pair in a loop."""

import numpy as np
import torch
from dense_graph import dense_adjacency

from recommender.data import IntArray, TrainingData


def individual_by_hand(layer_zero: torch.Tensor, data: TrainingData, num_layers: int) -> torch.Tensor:
    """Eq. 3-4: (N, d)."""
    dense, layers = dense_adjacency(data), [layer_zero]
    for _ in range(num_layers):
        layers.append(dense @ layers[-1])
    return torch.stack(layers).mean(dim=0)


def graph_by_hand(neighbors: IntArray) -> torch.Tensor:
    """D_S^-1/2 S D_S^-1/2 of eq. 6-7: (U, U), from lists that end with -1."""
    size = len(neighbors)
    full = torch.zeros(size, size, dtype=torch.float64)
    for user, others in enumerate(neighbors):
        for other in others:
            if other >= 0:
                full[user, other] = 1.0
    root = torch.diag(full.sum(dim=1).clamp(min=1.0) ** -0.5)
    return root @ full @ root


def groups_by_hand(own: torch.Tensor, neighbors: IntArray, num_layers: int) -> torch.Tensor:
    """Eq. 7: (U, d)."""
    total, power = own, graph_by_hand(neighbors)
    for layer in range(1, num_layers + 1):
        total = total + torch.linalg.matrix_power(power, layer) @ own
    return total / (num_layers + 1)


def infonce_by_hand(teachers: torch.Tensor, groups: torch.Tensor, temperature: float) -> torch.Tensor:
    """Eq. 8, or 9."""
    losses = []
    for user, teacher in enumerate(teachers):
        cosines = torch.stack([torch.cosine_similarity(teacher, other, dim=0) for other in groups])
        powers = torch.exp(cosines / temperature)
        losses.append(-torch.log(powers[user] / powers.sum()))
    return torch.stack(losses).mean()


def soft_dot_by_hand(teachers: torch.Tensor, groups: torch.Tensor, temperature: float) -> torch.Tensor:
    """The authors' code in their place."""
    size = len(teachers)
    logits, target = (torch.zeros(size, size, dtype=torch.float64) for _ in range(2))
    for one in range(size):
        for other in range(size):
            logits[one, other] = groups[one] @ teachers[other] / temperature
            likeness = groups[one] @ groups[other] + teachers[one] @ teachers[other]
            target[one, other] = likeness / 2 * temperature
    target = torch.exp(target) / torch.exp(target).sum(dim=1, keepdim=True)
    total = torch.zeros((), dtype=torch.float64)
    for chances, wanted in ((logits, target), (logits.T, target.T)):
        for line in range(size):
            log = chances[line] - torch.log(torch.exp(chances[line]).sum())
            total = total - (wanted[line] * log).sum() / size
    return total / 2


def query_by_hand(weights: dict[str, torch.Tensor], items: torch.Tensor, history: list[int]) -> torch.Tensor:
    """The query after all events of one history, from parameters by name: (d,)."""
    dim = items.shape[1]
    events = [items[item] * dim**0.5 for item in reversed(history)]  # the newest first
    logits = [weights["ages"][age] for age in range(len(events))]
    if "key" in weights:
        asked = weights["query"] @ events[0]
        keys = [weights["key"] @ event for event in events]
        logits = [logit + asked @ key / dim**0.5 for logit, key in zip(logits, keys, strict=True)]
    powers = [torch.exp(logit) for logit in logits]
    pooled = sum(power * event for power, event in zip(powers, events, strict=True)) / sum(powers)
    wide = torch.relu(weights["weight_in"] @ pooled + weights["bias_in"])
    found = pooled + weights["weight_out"] @ wide + weights["bias_out"]
    return found / found.norm()


def ring(num_users: int, num_neighbors: int) -> IntArray:
    """Neighbours of some users: those after them; users 1 and 2 have fewer, user 3 has none."""
    steps = np.arange(1, num_neighbors + 1)
    neighbors = (np.arange(num_users)[:, None] + steps**2) % num_users
    neighbors[1, 1:] = neighbors[2, -1:] = neighbors[3] = -1
    return neighbors

"""RecMind's formulas, slowly: NumPy float64, one node at a time, nothing shared with the code under test."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]

USERS = [0, 0, 0, 1, 1, 2, 2, 2]
ITEMS = [0, 1, 3, 1, 2, 0, 2, 3]
NUM_USERS, NUM_ITEMS = 4, 5
"""User 3 and item 4 have no edge; item 3 has no text."""


def neighbours() -> list[list[int]]:
    """Neighbours of every node: users, then items."""
    found: list[list[int]] = [[] for _ in range(NUM_USERS + NUM_ITEMS)]
    for user, item in zip(USERS, ITEMS, strict=True):
        found[user].append(NUM_USERS + item)
        found[NUM_USERS + item].append(user)
    return found


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def cosine(a: Vectors, b: Vectors) -> float:
    return float(a @ b / (np.sqrt(a @ a) * np.sqrt(b @ b)))


def degree_feature(node: int) -> float:
    """d̃ = ln(1 + d) / ln(1 + d_max)."""
    edges = neighbours()
    return np.log(1 + len(edges[node])) / np.log(1 + max(map(len, edges)))


def fallback(node: int, mean: Vectors, weights: Mapping[str, Vectors]) -> Vectors:
    """mean + MLP([d̃ ‖ mean])."""
    given = np.concatenate([[degree_feature(node)], mean])
    inner = np.maximum(weights["scaled_inner"] @ given / len(mean) + weights["inner_bias"], 0)
    return mean + weights["scaled_outer"] @ inner / len(mean) + weights["outer_bias"]


def mean_of(vectors: Sequence[Vectors], dim: int) -> Vectors:
    return np.mean(vectors, axis=0) if len(vectors) else np.zeros(dim)


def text_vectors(
    item_texts: Vectors, hidden: Sequence[int], weight: Vectors, weights: Mapping[str, Vectors]
) -> Vectors:
    """Eq. 4 where only items have texts: zero rows, and ``hidden`` nodes, have none."""
    edges, dim = neighbours(), len(weight)
    own = {
        NUM_USERS + item: weight @ item_texts[item]
        for item in range(NUM_ITEMS)
        if item_texts[item].any() and NUM_USERS + item not in hidden
    }
    of_users = [[own[w] for w in edges[user] if w in own] for user in range(NUM_USERS)]
    table = []
    for node in range(NUM_USERS + NUM_ITEMS):
        if node in own:
            table.append(own[node])
        elif node < NUM_USERS:
            table.append(fallback(node, mean_of(of_users[node], dim), weights))
        else:
            means = [mean_of(of_users[user], dim) for user in edges[node] if of_users[user]]
            table.append(fallback(node, mean_of(means, dim), weights))
    return np.array(table)


def propagate(
    ids: Vectors,
    text: Vectors,
    gate_weight: Vectors,
    gate_bias: float,
    *,
    num_layers: int,
    first_gated: int = 0,
    fixed: float | None = None,
) -> tuple[Vectors, Vectors]:
    """Eq. 1-2 and 6-8: (N, d) layer means and (L, N) gates."""
    edges, layers, gates = neighbours(), [ids], []
    for _ in range(num_layers):
        layer, fused, gate = layers[-1], np.zeros_like(ids), np.ones(len(ids))
        for node in range(len(ids)):
            if node >= first_gated:
                read = np.concatenate([layer[node], text[node], [degree_feature(node)]])
                gate[node] = sigmoid(gate_weight @ read + gate_bias) if fixed is None else fixed
            fused[node] = gate[node] * layer[node] + (1 - gate[node]) * text[node]
        following = np.zeros_like(ids)
        for node in range(len(ids)):
            for other in edges[node]:
                following[node] += fused[other] / np.sqrt(len(edges[node]) * len(edges[other]))
        layers.append(following)
        gates.append(gate)
    return np.mean(layers, axis=0), np.array(gates).reshape(num_layers, len(ids))


def one_way(
    anchors: Mapping[int, Vectors], candidates: Mapping[int, Mapping[int, Vectors]], temperature: float
) -> float:
    """Eq. 5 in one direction; ``candidates[v]`` are all nodes of v's denominator, v among them."""
    losses = []
    for node, anchor in anchors.items():
        terms = {other: np.exp(cosine(anchor, c) / temperature) for other, c in candidates[node].items()}
        losses.append(-np.log(terms[node] / sum(terms.values())))
    return float(np.mean(losses))

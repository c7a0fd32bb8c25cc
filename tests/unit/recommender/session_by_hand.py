"""Models of sessions in float64, one session, event and node at a time, from their formulas."""

from itertools import pairwise

import numpy as np
import torch

from recommender.sequence.recurrent import Recurrent
from recommender.session.gated_graph import AttentiveReadout, GatedGraph


def array(weight: torch.Tensor) -> np.ndarray:
    return weight.detach().double().numpy()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def applied(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    return array(layer.weight) @ x + (0 if layer.bias is None else array(layer.bias))


def gru_step(unit: torch.nn.Module, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """One step of a unit whose weights stand in torch's order: r, z, n."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    found = dict(unit.named_parameters())
    w, u, b, c = (array(found.get(name, found.get(f"{name}_l0"))) for name in names)
    size = len(h)
    r, z, n = (slice(k * size, (k + 1) * size) for k in range(3))
    reset = sigmoid(w[r] @ x + b[r] + u[r] @ h + c[r])
    keep = sigmoid(w[z] @ x + b[z] + u[z] @ h + c[z])
    new = np.tanh(w[n] @ x + b[n] + reset * (u[n] @ h + c[n]))
    return (1 - keep) * new + keep * h


def recurrent_by_hand(layer: Recurrent, events: np.ndarray) -> np.ndarray:
    """(L, h) states of one session of (L, d) events."""
    h = np.zeros(layer.unit.hidden_size)
    states = []
    for x in events:
        h = gru_step(layer.unit, x, h)
        states.append(h)
    return np.stack(states)


def graph_by_hand(graph: GatedGraph, session: list[int], vectors: np.ndarray, num_steps: int) -> dict:
    """Item → vector after the steps, from (I, d) item vectors; edges are counted one by one."""
    items = sorted(set(session))
    moves = list(pairwise(session))
    nodes = {item: vectors[item] for item in items}
    dim = vectors.shape[1]
    for _ in range(num_steps):
        into = {item: applied(graph.incoming, nodes[item]) for item in items}
        out_of = {item: applied(graph.outgoing, nodes[item]) for item in items}
        after = {}
        for v in items:
            before = np.zeros(dim)
            follow = np.zeros(dim)
            for u in items:
                entering = sum(1 for _, target in moves if target == v)
                leaving = sum(1 for source, _ in moves if source == v)
                if entering:
                    before += moves.count((u, v)) / entering * into[u]
                if leaving:
                    follow += moves.count((v, u)) / leaving * out_of[u]
            after[v] = gru_step(graph.gates, np.concatenate([before, follow]), nodes[v])
        nodes = after
    return nodes


def readout_by_hand(readout: AttentiveReadout, events: np.ndarray) -> np.ndarray:
    """(d,) state of one session of (L, d) events."""
    newest = events[-1]
    total = np.zeros_like(newest)
    for each in events:
        share = array(readout.weight) @ sigmoid(
            applied(readout.asked, newest) + applied(readout.offered, each)
        )
        total += share * each
    return applied(readout.both, np.concatenate([newest, total]))

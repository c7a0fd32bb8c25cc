"""Six sequential models in float64, one history and one event at a time, from their papers' formulas."""

import math
from itertools import pairwise

import numpy as np
import torch
from session_by_hand import applied, array, sigmoid


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * each * (1 + math.erf(each / math.sqrt(2))) for each in x.flat]).reshape(x.shape)


def normed(norm: torch.nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + 1e-5) * array(norm.weight) + array(norm.bias)


def fpmc_state(encoder, items: np.ndarray, history: list[int], user: np.ndarray) -> np.ndarray:
    dim = len(user)
    return np.concatenate([user, items[history[-1], 2 * dim :]])


def caser_state(encoder, items: np.ndarray, history: list[int], user: np.ndarray) -> np.ndarray:
    dim, length = len(user), len(encoder.horizontal)
    picture = np.zeros((length, dim))
    for place, item in enumerate(history[-length:], start=max(0, length - len(history))):
        picture[place] = items[item, 2 * dim :]
    found = []
    for height, filters in enumerate(encoder.horizontal, start=1):
        for weight, bias in zip(array(filters.weight), array(filters.bias), strict=True):  # (d, h) each
            patches = [picture[start : start + height] for start in range(length - height + 1)]
            found.append(max(max((patch * weight.T).sum() + bias, 0.0) for patch in patches))
    down = [[column @ each for each in array(encoder.vertical.weight)] for column in picture.T]
    found += np.array(down).flatten().tolist()
    return np.concatenate([np.maximum(applied(encoder.turned, np.array(found)), 0), user])


def hgn_state(encoder, items: np.ndarray, history: list[int], user: np.ndarray) -> np.ndarray:
    dim = len(user)
    read = [items[item, dim:] for item in reversed(history[-encoder.by_age.out_features :])]  # newest first
    gated = []
    for age, each in enumerate(read):
        feature = each * sigmoid(applied(encoder.of_items, each) + applied(encoder.of_users, user))
        weight = array(encoder.instance.weight)[0] @ feature + array(encoder.by_age.weight)[age] @ user
        gated.append(feature * sigmoid(weight))
    return user + np.mean(gated, axis=0) + np.sum(read, axis=0)


def bidirectional_by_hand(block, events: np.ndarray, num_heads: int) -> np.ndarray:
    """(L, d) events of one history after one block."""
    size = events.shape[1] // num_heads
    projected = np.stack([applied(block.query_key_value, normed(block.norm_attention, x)) for x in events])
    query, key, value = np.split(projected, 3, axis=1)
    after = []
    for t, x in enumerate(events):
        heads = []
        for head in range(num_heads):
            part = slice(head * size, (head + 1) * size)
            shares = softmax(key[:, part] @ query[t, part] / math.sqrt(size))
            heads.append(shares @ value[:, part])
        y = x + applied(block.attended, np.concatenate(heads))
        wide = gelu(applied(block.widen, normed(block.norm_feedforward, y)))
        after.append(y + applied(block.narrow, wide))
    return np.stack(after)


def cloze_by_hand(encoder, items: np.ndarray, history: list[int], hidden: set[int]) -> dict[int, np.ndarray]:
    """Place → state of every hidden event of one history."""
    read = [array(encoder.hidden) if t in hidden else items[item] for t, item in enumerate(history)]
    ages = array(encoder.ages)[: len(history)][::-1]
    events = np.stack(read) * math.sqrt(items.shape[1]) + ages
    for block in encoder.blocks:
        events = bidirectional_by_hand(block, events, num_heads=2)
    return {t: gelu(applied(encoder.turned, normed(encoder.norm, events[t]))) for t in hidden}


def bert4rec_state(encoder, items: np.ndarray, history: list[int]) -> np.ndarray:
    return cloze_by_hand(encoder, items, [*history, 0], {len(history)})[len(history)]


def causal_by_hand(encoder, vectors: np.ndarray, history: list[int], num_later: int) -> np.ndarray:
    """(d,) newest state of one stream of one head; ages count the events that come later, too."""
    dim = vectors.shape[1]
    newest = len(history) - 1 + num_later
    events = [vectors[s] * math.sqrt(dim) + array(encoder.ages)[newest - t] for t, s in enumerate(history)]
    for block in encoder.blocks:
        parts = [np.split(applied(block.query_key_value, normed(block.norm_attention, x)), 3) for x in events]
        after = []
        for t, x in enumerate(events):
            shares = softmax(np.array([parts[j][1] @ parts[t][0] for j in range(t + 1)]) / math.sqrt(dim))
            mixed = sum(share * parts[j][2] for j, share in enumerate(shares))
            y = x + applied(block.attended, mixed)
            wide = np.maximum(applied(block.widen, normed(block.norm_feedforward, y)), 0)
            after.append(y + applied(block.narrow, wide))
        events = after
    return normed(encoder.norm, events[-1])


def fdsa_state(encoder, items: np.ndarray, history: list[int], num_later: int = 0) -> np.ndarray:
    own, features = np.split(items, 2, axis=1)
    streams = [
        causal_by_hand(encoder.of_items, own, history, num_later),
        causal_by_hand(encoder.of_features, features, history, num_later),
    ]
    return applied(encoder.both, np.concatenate(streams))


def exp_by_hand(v: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(v)
    direction = v / length if length else v
    return np.concatenate([[np.cosh(length)], np.sinh(length) * direction])


def log_by_hand(x: np.ndarray) -> np.ndarray:
    length = np.arccosh(max(x[0], 1.0))
    norm = np.linalg.norm(x[1:])
    return length * x[1:] / norm if norm else x[1:]


def product_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    return float(x[1:] @ y[1:] - x[0] * y[0])


def centroid_by_hand(points: list[np.ndarray], logits: list[float]) -> np.ndarray:
    total = sum(share * each for share, each in zip(softmax(np.array(logits)), points, strict=True))
    return total / np.sqrt(-product_by_hand(total, total))


def hcgr_state(encoder, items: np.ndarray, session: list[int]) -> np.ndarray:
    """(d + 1,) the session's point, its first number with the other sign."""
    graph, readout = encoder.prefixes.reader.graph, encoder.prefixes.reader.readout
    nodes = {item: items[item] for item in set(session)}
    moves = set(pairwise(session))
    sharpness = np.exp(array(graph.sharpness))
    after = {}
    for v, point in nodes.items():
        messages = [exp_by_hand(applied(graph.own, log_by_hand(point)))]
        for u, other in nodes.items():
            if (u, v) in moves:
                messages += [exp_by_hand(applied(graph.incoming, log_by_hand(other)))] * times(session, u, v)
            if (v, u) in moves:
                messages += [exp_by_hand(applied(graph.outgoing, log_by_hand(other)))] * times(session, v, u)
        logits = [-sharpness * (-product_by_hand(point, m) - 1) for m in messages]
        after[v] = centroid_by_hand(messages, logits)
    events = [after[item] for item in session]
    asked = exp_by_hand(applied(readout.asked, log_by_hand(events[-1])))
    sharpness = np.exp(array(readout.sharpness))
    logits = [
        -sharpness * (-product_by_hand(asked, exp_by_hand(applied(readout.offered, log_by_hand(x)))) - 1)
        for x in events
    ]
    found = centroid_by_hand(events, logits)
    both = np.concatenate([log_by_hand(events[-1]), log_by_hand(found)])
    point = exp_by_hand(applied(readout.both, both))
    return np.concatenate([[-point[0]], point[1:]])


def times(session: list[int], u: int, v: int) -> int:
    return sum(1 for move in pairwise(session) if move == (u, v))

"""The block of `recommender.sequence.causal_attention` in float64, by history, event and head."""

import numpy as np
import torch

from recommender.sequence.causal_attention import CausalBlock


def normed(x: np.ndarray, layer: torch.nn.LayerNorm) -> np.ndarray:
    scaled = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return scaled * array(layer.weight) + array(layer.bias)


def block_by_hand(block: CausalBlock, history: np.ndarray, num_heads: int) -> np.ndarray:
    """(L, d) events of one history after a block, without dropout."""
    dim = history.shape[1]
    size = dim // num_heads
    projected = [_applied(normed(x, block.norm_attention), block.query_key_value) for x in history]
    done = []
    for t, x in enumerate(history):
        heads = []
        for head in range(num_heads):
            part = slice(size * head, size * head + size)
            query = projected[t][:dim][part]
            logits = [query @ projected[s][dim : 2 * dim][part] / np.sqrt(size) for s in range(t + 1)]
            shares = np.exp(logits) / np.exp(logits).sum()
            heads.append(sum(shares[s] * projected[s][2 * dim :][part] for s in range(t + 1)))
        middle = x + _applied(np.concatenate(heads), block.attended)
        wide = np.maximum(_applied(normed(middle, block.norm_feedforward), block.widen), 0)
        done.append(middle + _applied(wide, block.narrow))
    return np.stack(done)


def array(weight: torch.Tensor) -> np.ndarray:
    return weight.detach().double().numpy()


def _applied(x: np.ndarray, layer: torch.nn.Linear) -> np.ndarray:
    return array(layer.weight) @ x + array(layer.bias)

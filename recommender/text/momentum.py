"""Negatives that outlive their batch: keys of a slowly moving copy of the weights, in a queue.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, for RecMind (arXiv
2509.06286), which names a momentum queue and no more: the rest is our reconstruction. A node stands in the
queue once at most: its newer key makes the older one's place empty.

All state stands in parameters that no gradient reaches, so that a checkpoint of
`recommender.training.trainer` holds it and training goes on from it to the bit.
"""

import torch
from torch.nn.functional import normalize

from recommender.text.alignment import absent_from


class MovingAverage(torch.nn.Module):
    """θ' ← m θ' + (1 - m) θ of all weights of a module that learn.

    Args:
        source: The module; θ' starts as a copy of its θ.
        decay: m in [0, 1].
    """

    def __init__(self, source: torch.nn.Module, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self._names = [name for name, weight in source.named_parameters() if weight.requires_grad]
        for name in self._names:
            copy = source.get_parameter(name).detach().clone()
            self.register_parameter(_attribute(name), torch.nn.Parameter(copy, requires_grad=False))

    @torch.no_grad()
    def update(self, source: torch.nn.Module) -> None:
        """One step towards the module's weights."""
        for name, average in self.weights().items():
            average.lerp_(source.get_parameter(name), 1 - self._decay)

    def weights(self) -> dict[str, torch.Tensor]:
        """θ' by the names that θ has in the module, for `torch.func.functional_call`."""
        return {name: self.get_parameter(_attribute(name)) for name in self._names}


def _attribute(name: str) -> str:
    return name.replace(".", "/")


class KeyQueue(torch.nn.Module):
    """First in, first out: the newest keys of at most K nodes, two vectors of length 1 each.

    Args:
        size: K ≥ 1 places; a side of n nodes never fills more than n.
        dim: d.

    Attributes:
        nodes: (K,) int64; -1 where a place is empty.
        graph: (K, d) float32 keys of the graph's vectors.
        text: (K, d) float32 keys of the texts' vectors.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.nodes = _state(torch.full((size,), -1))
        self.graph = _state(torch.zeros(size, dim))
        self.text = _state(torch.zeros(size, dim))
        self._next = _state(torch.zeros(1, dtype=torch.int64))

    @torch.no_grad()
    def push(self, nodes: torch.Tensor, graph: torch.Tensor, text: torch.Tensor) -> None:
        """Put keys in, the oldest go.

        Args:
            nodes: (m,) int64, each once; of more than K the last K are kept.
            graph: (m, d) of any length.
            text: (m, d) of any length.
        """
        size = len(self.nodes)
        nodes, graph, text = nodes[-size:], normalize(graph[-size:], dim=1), normalize(text[-size:], dim=1)
        self.nodes[~self.others(nodes)] = -1
        places = (self._next + torch.arange(len(nodes), device=nodes.device)) % size  # (m,)
        kept = self.graph.dtype  # keys are of bfloat16 in mixed precision
        self.nodes[places], self.graph[places], self.text[places] = nodes, graph.to(kept), text.to(kept)
        self._next.copy_((self._next + len(nodes)) % size)

    def others(self, nodes: torch.Tensor) -> torch.Tensor:
        """(K,) bool: filled places whose node is none of ``nodes``; what may be a negative of them."""
        return absent_from(self.nodes, nodes)


def _state(values: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(values, requires_grad=False)

"""Weighted sums of propagation layers at some rows, of several views of one graph in one autograd step.

    E(l+1) = p(Â(l+1) E(l)),   out_k = Σ_l w_kl E(l)[rows]        p: a perturbation, or nothing

A perturbation that adds noise has the derivative of the identity (SimGCL's depends on E by its sign only), so
all views have one linear backward operator. Their gradients G(l) = Σ_k w_kl scatter(rows, g_k) are added
first and propagated together, from the last layer down, G(0) + Â(1)(G(1) + Â(2)(G(2) + …)): L sparse
products however many views there are, where autograd needs L for each. Â(1) E(0) is computed once, too.

Letters: N nodes = users, then items; d embedding_dim; L num_layers; m gathered rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from recommender.graph.propagation import Adjacency, Perturb

LayerWeights: TypeAlias = tuple[float, ...]
"""Weights of E(0) to E(L) in a sum."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read of one propagation.

    Attributes:
        rows: (m,) int64, repeats allowed.
        sums: Weights of E(0) to E(L), for every sum that is wanted.
        perturb: Replaces every E(l), l ≥ 1, by itself plus something whose derivative is zero, in new memory;
            None leaves them.
    """

    rows: torch.Tensor
    sums: tuple[LayerWeights, ...]
    perturb: Perturb | None = None


def mean_of_layers(num_layers: int, *, first: int = 0) -> LayerWeights:
    """Weights of the mean of E(first) to E(L)."""
    count = num_layers + 1 - first
    return (0.0,) * first + (1 / count,) * count


def only_layer(layer: int, num_layers: int) -> LayerWeights:
    """Weights that leave E(layer)."""
    return tuple(float(other == layer) for other in range(num_layers + 1))


def read_layers(
    embeddings: torch.Tensor, graphs: Sequence[Adjacency], readings: Sequence[Reading]
) -> list[torch.Tensor]:
    """Propagate once per reading; give all sums, in order.

    Args:
        embeddings: (N, d) float32 E(0).
        graphs: Â(1) to Â(L), each symmetric: L times the same, unless edges are drawn anew for every layer.
        readings: At least one, each with L + 1 weights in every sum.

    Returns:
        One (m, d) for every sum of every reading, with gradients.
    """
    return list(_LayerRows.apply(embeddings, tuple(graphs), tuple(readings)))


def weighted_layers(embeddings: torch.Tensor, adjacency: Adjacency, weights: LayerWeights) -> torch.Tensor:
    """Σ_l w_l Â^l E(0) of all nodes: (N, d) in new memory, without gradients."""
    total = embeddings.detach() * weights[-1]
    for weight in reversed(weights[:-1]):
        total = adjacency.matmul(total).add_(embeddings.detach(), alpha=weight)
    return total


class _LayerRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        embeddings: torch.Tensor,
        graphs: tuple[Adjacency, ...],
        readings: tuple[Reading, ...],
    ) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.graphs, ctx.readings, ctx.shape = graphs, readings, embeddings.shape
        first = graphs[0].matmul(embeddings) if graphs else embeddings  # (N, d) Â(1) E(0)
        found: list[torch.Tensor] = []
        for reading in readings:
            found += _sums(reading, _propagated(embeddings, first, graphs, reading.perturb))
        return tuple(found)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor | None,
    ) -> tuple[torch.Tensor, None, None]:
        asked = [(reading.rows, weights) for reading in ctx.readings for weights in reading.sums]
        given = [(*of, grad) for of, grad in zip(asked, grads, strict=True) if grad is not None]
        total = given[0][2].new_zeros(ctx.shape)  # (N, d)
        for layer in range(len(ctx.graphs), -1, -1):
            if layer < len(ctx.graphs):
                total = ctx.graphs[layer].matmul(total)
            for rows, weights, grad in given:
                if weights[layer]:
                    total.index_add_(0, rows, grad, alpha=weights[layer])
        return total, None, None


def _propagated(
    embeddings: torch.Tensor, first: torch.Tensor, graphs: tuple[Adjacency, ...], perturb: Perturb | None
) -> Iterator[torch.Tensor]:
    """E(0) to E(L), one after the other."""
    layer = embeddings
    yield layer
    for number, graph in enumerate(graphs):
        layer = graph.matmul(layer) if number else first
        if perturb is not None:
            layer = perturb(layer)
        yield layer


def _sums(reading: Reading, propagated: Iterator[torch.Tensor]) -> list[torch.Tensor]:
    """Every sum of one reading, (m, d) each."""
    sums: list[torch.Tensor] = []
    for number, layer in enumerate(propagated):
        if not sums:
            sums = [layer.new_zeros(len(reading.rows), layer.shape[1]) for _ in reading.sums]
        weighted = [(total, of[number]) for total, of in zip(sums, reading.sums, strict=True) if of[number]]
        if weighted:
            part = layer.index_select(0, reading.rows)  # (m, d)
            for total, weight in weighted:
                total.add_(part, alpha=weight)
    return sums

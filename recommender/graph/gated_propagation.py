"""Propagation that mixes every node's text into every layer, as one operator.

RecMind (arXiv 2509.06286), eq. 6-8, z a node's text vector, d̃ its normalised degree:

    g(l) = sigmoid(w·[E(l) ‖ z ‖ d̃] + b)           one gate for all layers
    Ê(l) = g(l) E(l) + (1 - g(l)) z
    E(l+1) = Â Ê(l)                                 out = 1/(L+1) Σ_{l=0..L} E(l)

Our reconstruction: the mean is of E(l), not of Ê(l), so that z reaches it through neighbours only. Autograd
would keep a dozen (N, d) tensors per layer; here the layers and their gates are kept, one sparse product per
layer leads back, and all else is done to a few rows at a time while they are in the processor's cache.

Letters: N nodes = users, then items; d embedding_dim; L num_layers; m ranked and a aligned rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch

from recommender.graph.propagation import Adjacency

_ROWS_AT_A_TIME: Final = {"cpu": 2048, "cuda": 1 << 20}


@dataclass(frozen=True, slots=True)
class GateInputs:
    """What the gate reads of all nodes, and what it learns.

    Attributes:
        ids: (N, d) float32 E(0).
        text: (N, d) float32 z.
        degrees: (N,) float32 d̃; gets no gradient.
        weight: (2d + 1,) w.
        bias: (1,) b.
    """

    ids: torch.Tensor
    text: torch.Tensor
    degrees: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor


class GatedRows(NamedTuple):
    """What is read of one propagation; all but the last carry gradients.

    Attributes:
        final: (m, d) s · layer mean + (1 - s) · z at the ranked rows, s the graph's share: eq. 9.
        squares: () sum of squares of E(0) there, repeats counted.
        means: (a, d) layer means at the aligned rows.
        text: (a, d) z there.
        all_means: (N, d) layer means of all nodes.
    """

    final: torch.Tensor
    squares: torch.Tensor
    means: torch.Tensor
    text: torch.Tensor
    all_means: torch.Tensor


class GatedPropagation(torch.nn.Module):
    """The operator over one graph.

    Args:
        adjacency: Â.
        num_layers: L ≥ 0.
        graph_share: Share of the layer mean in final vectors.
        first_gated: Nodes before this one are not gated: g = 1.
        fixed_gate: g of all others; None: learned. With 1 no text enters, as in LightGCN.
    """

    def __init__(
        self,
        adjacency: Adjacency,
        num_layers: int,
        *,
        graph_share: float,
        first_gated: int = 0,
        fixed_gate: float | None = None,
    ) -> None:
        super().__init__()
        self.adjacency = adjacency
        self.num_layers = num_layers
        self.graph_share = graph_share
        self.first_gated = first_gated
        self.fixed_gate = fixed_gate

    def rows(self, inputs: GateInputs, ranked: torch.Tensor, aligned: torch.Tensor) -> GatedRows:
        """Propagate all nodes, then gather some.

        Args:
            inputs: Of all nodes.
            ranked: (m,) int64, repeats allowed.
            aligned: (a,) int64, repeats allowed.
        """
        given = inputs.ids, inputs.text, inputs.degrees, inputs.weight, inputs.bias
        return GatedRows(*_GatedRows.apply(*given, ranked, aligned, self))

    @torch.no_grad()
    def everything(self, inputs: GateInputs) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, d) final vectors and (L, N) gates of all nodes, without gradients."""
        means, _, gates = self.forward_layers(inputs)
        return torch.lerp(inputs.text, means, self.graph_share), gates

    def forward_layers(self, inputs: GateInputs) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        """(N, d) layer mean in new memory; E(0) to E(L-1), (N, d) each; (L, N) gates."""
        text, (of_ids, of_text, of_degree) = inputs.text, _split(inputs.weight)
        offsets = text @ of_text + inputs.degrees * of_degree + inputs.bias  # (N,)
        gates = offsets.new_ones(self.num_layers, len(offsets))
        fused, layer, total = torch.empty_like(text), inputs.ids, torch.zeros_like(text)
        layers: list[torch.Tensor] = []
        for gate in gates:
            for part in parts(text):
                gate[part] = self._gate(layer[part] @ of_ids + offsets[part])
                gate[: self.first_gated] = 1.0
                torch.lerp(text[part], layer[part], gate[part].unsqueeze(1), out=fused[part])
                total[part] += layer[part]
            layers.append(layer)
            layer = self.adjacency.matmul(fused)  # (N, d)
        return total.add_(layer).div_(self.num_layers + 1), layers, gates

    def _gate(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(logits) if self.fixed_gate is None else torch.full_like(logits, self.fixed_gate)


def parts(nodes: torch.Tensor) -> Iterator[slice]:
    """A few rows of (N, d) at a time."""
    size = _ROWS_AT_A_TIME[nodes.device.type]
    return (slice(start, start + size) for start in range(0, len(nodes), size))


class _GatedRows(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - torch counts gradients by position
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        ids: torch.Tensor,
        text: torch.Tensor,
        degrees: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        ranked: torch.Tensor,
        aligned: torch.Tensor,
        propagation: GatedPropagation,
    ) -> tuple[torch.Tensor, ...]:
        means, layers, gates = propagation.forward_layers(GateInputs(ids, text, degrees, weight, bias))
        ctx.save_for_backward(ids, text, degrees, weight, ranked, aligned, gates, *layers)
        ctx.propagation = propagation
        ctx.mark_non_differentiable(means)
        final = means.index_select(0, ranked).mul_(propagation.graph_share)  # (m, d)
        final.add_(text.index_select(0, ranked), alpha=1 - propagation.graph_share)
        squares = torch.bincount(ranked, minlength=len(ids)).to(ids.dtype) @ (ids * ids).sum(dim=1)
        return final, squares, means.index_select(0, aligned), text.index_select(0, aligned), means

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch hands over an object it does not type
        *grads: torch.Tensor,
    ) -> tuple[torch.Tensor | None, ...]:
        ids, text, degrees, weight, ranked, aligned, gates, *layers = ctx.saved_tensors
        propagation: GatedPropagation = ctx.propagation
        of_ids, of_text, _ = _split(weight)
        by_final = torch.zeros_like(text).index_add_(0, ranked, grads[0])  # (N, d)
        mean_share = 1 / (propagation.num_layers + 1)
        at_layer = by_final * (mean_share * propagation.graph_share)  # what every layer gets from the mean
        at_layer.index_add_(0, aligned, grads[2], alpha=mean_share)
        back = _LayerBackward(text, of_ids, at_layer, learned=propagation.fixed_gate is None)
        total = at_layer
        for layer, gate in zip(reversed(layers), gates.flip(0), strict=True):
            total = back.step(propagation.adjacency.matmul(total), layer, gate)
        back.text.addr_(back.logits, of_text).add_(by_final, alpha=1 - propagation.graph_share)
        back.text.index_add_(0, aligned, grads[3])
        by_degree = (back.logits @ degrees).unsqueeze(0)
        by_weight = torch.cat([back.of_ids, back.logits @ text, by_degree])  # (2d + 1,)
        if ctx.needs_input_grad[0]:
            times = torch.bincount(ranked, minlength=len(ids)).unsqueeze(1) * (2 * grads[1])  # (N, 1)
            total.addcmul_(times, ids)
        return total, back.text, None, by_weight, back.logits.sum().unsqueeze(0), None, None, None


class _LayerBackward:
    """Gradients of all layers so far.

    Attributes:
        text: (N, d), by z as far as it is mixed in.
        logits: (N,), by what the gates are the sigmoid of.
        of_ids: (d,), by what of w reads E(l).
    """

    def __init__(
        self, text: torch.Tensor, of_ids: torch.Tensor, at_layer: torch.Tensor, *, learned: bool
    ) -> None:
        self._vectors, self._of_ids, self._at_layer, self._learned = text, of_ids, at_layer, learned
        self.text = torch.zeros_like(text)
        self.logits = text.new_zeros(len(text))
        self.of_ids = torch.zeros_like(of_ids)

    def step(self, fused: torch.Tensor, layer: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """From (N, d) the gradient by Ê(l) to that by E(l), in the same memory, given E(l) and g(l)."""
        for part in parts(fused):
            slope = self._slope(part, fused, layer, gate) if self._learned else None  # (c,)
            given, of_text = fused[part], self.text[part]
            of_text += given
            of_text -= given.mul_(gate[part].unsqueeze(1))
            given += self._at_layer[part]
            if slope is not None:
                given.addr_(slope, self._of_ids)
        return fused

    def _slope(
        self, part: slice, fused: torch.Tensor, layer: torch.Tensor, gate: torch.Tensor
    ) -> torch.Tensor:
        """Of a few rows, the gradient by what their gates are the sigmoid of."""
        own = gate[part]
        slope = (layer[part] - self._vectors[part]).mul_(fused[part]).sum(dim=1)
        slope *= own * (1 - own)
        self.logits[part] += slope
        self.of_ids += slope @ layer[part]
        return slope


def _split(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(d,), (d,) and (): what of w reads E(l), z and d̃."""
    dim = len(weight) // 2
    return weight[:dim], weight[dim : 2 * dim], weight[-1]

"""Item vectors that a language model has a say in: all items, or only those that few sessions have.

    t̃_i = W_2 relu(W_1 Ẽ_i + b_1) + b_2            Ẽ: the frozen PCA of stored vectors t
    g_i = sigmoid(<w, [x_i ‖ t̃_i]> + b)            0 where no training session has i
    e_i = g_i x_i + (1 - g_i) t̃_i                  where item i has a vector, and at most so many sessions
    e_i = x_i                                       elsewhere

How LLMGR (arXiv 2402.16539) is served without a language model is our reconstruction, so all of this is. x of
an item that nobody had has learned nothing, hence its g. While training, g of a share of items is 0 as well,
drawn anew for every batch: t̃ that only ever stood beside x would say nothing by itself (Volkovs et al.,
"DropoutNet", NeurIPS 2017). W_1 and W_2 train n W instead of W, n their inputs, as maps of texts do in
`recommender.text.layer_zero`. Letters: I items, m of which texts have a say in, d' of Ẽ, d embedding_dim.
"""

import numpy as np
import torch
from torch.nn.functional import relu

from recommender.data import FloatArray, IntArray


class SemanticItems(torch.nn.Module):
    """t̃ and its gate.

    Args:
        vectors: (I, d') float32 Ẽ; an item with a row of zeros has none.
        degrees: (I,) int64 training sessions of each item.
        max_degree: Items of more sessions are left alone; None leaves none alone.
        dim: d.
        std: Standard deviation s that t̃ begins with.
        generator: Of the first weights.
    """

    rows: torch.Tensor
    vectors: torch.Tensor
    is_known: torch.Tensor

    def __init__(
        self,
        vectors: FloatArray,
        degrees: IntArray,
        *,
        max_degree: int | None,
        dim: int,
        std: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        input_dim = vectors.shape[1]
        hidden_dim = (input_dim + dim) // 2 or 1
        chosen = vectors.any(axis=1)
        if max_degree is not None:
            chosen &= degrees <= max_degree
        rows = np.flatnonzero(chosen)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)  # (m,) items with a say of t
        known = torch.from_numpy((degrees[rows] > 0).astype(np.float32)).unsqueeze(1)
        self.register_buffer("is_known", known, persistent=False)  # (m, 1)
        self.register_buffer("vectors", torch.from_numpy(vectors[rows]) / input_dim, persistent=False)
        self.scaled_in = _new((hidden_dim, input_dim), input_dim**0.5, generator)  # d' W_1
        self.bias_in = torch.nn.Parameter(torch.zeros(hidden_dim))
        self.scaled_out = _new((dim, hidden_dim), std * hidden_dim**0.5, generator)  # hidden W_2
        self.bias_out = torch.nn.Parameter(torch.zeros(dim))
        self.gate = _new((2 * dim, 1), 0.01, generator)  # w
        self.gate_bias = torch.nn.Parameter(torch.zeros(1))

    def forward(
        self, ids: torch.Tensor, share: float = 0.0, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        """(I, d) e.

        Args:
            ids: (I, d) x.
            share: Of items that x is left out of.
            noise: Source of that draw; None for none.
        """
        own = ids.index_select(0, self.rows)  # (m, d)
        hidden = relu(torch.addmm(self.bias_in, self.vectors, self.scaled_in.T))
        text = torch.addmm(self.bias_out, hidden, self.scaled_out.T / self.scaled_out.shape[1])
        gate = torch.sigmoid(torch.cat([own, text], dim=1) @ self.gate + self.gate_bias) * self.is_known
        if noise is not None:
            gate = gate * (torch.rand(gate.shape, generator=noise, device=gate.device) >= share)
        return ids.index_copy(0, self.rows, gate * own + (1 - gate) * text)


def _new(shape: tuple[int, ...], std: float, generator: torch.Generator) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(shape, generator=generator) * std)

"""A map from frozen text vectors to the vectors that a model trains: two layers with a leaky rectifier.

    E_V = W2 leaky(W1 Ẽ + b1) + b2      hidden size (d' + d)/2

As RLMRec and AlphaRec describe theirs; the linear one of ISRF stands in `recommender.text.layer_zero`.
Letters: n nodes; d' dimensions of Ẽ; d embedding_dim.
"""

import torch
from torch.nn.functional import leaky_relu, linear


class TextAdapter(torch.nn.Module):
    """E_V of all nodes of one embedding space.

    Args:
        input_dim: d'.
        output_dim: d.
        generator: Of the first weights (He et al., 2015).
    """

    def __init__(self, input_dim: int, output_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        hidden_dim = (input_dim + output_dim) // 2 or 1
        self.weight_in = _new(hidden_dim, input_dim, generator)  # W1
        self.bias_in = torch.nn.Parameter(torch.zeros(hidden_dim))  # b1
        self.weight_out = _new(output_dim, hidden_dim, generator)  # W2
        self.bias_out = torch.nn.Parameter(torch.zeros(output_dim))  # b2

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, d) of (n, d')."""
        return linear(
            leaky_relu(linear(vectors, self.weight_in, self.bias_in)), self.weight_out, self.bias_out
        )


def _new(num_rows: int, num_columns: int, generator: torch.Generator) -> torch.nn.Parameter:
    drawn = torch.randn(num_rows, num_columns, generator=generator)
    return torch.nn.Parameter(drawn * (2 / num_columns) ** 0.5)

"""A gated recurrent unit over histories of many lengths, without padding.

Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014, in cuDNN's form:

    z = sigmoid(W_z x_t + U_z h_{t-1} + b_z),  r = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
    n = tanh(W_n x_t + b_n + r ∘ (U_n h_{t-1} + c_n)),   h_t = (1 - z) ∘ n + z ∘ h_{t-1},   h_0 = 0

Letters: b histories, T events of them, d input and h hidden dimensions.
"""

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from recommender.data import IntArray
from recommender.sequence.sequences import Sequences
from recommender.training.first_weights import uniform


class Recurrent(torch.nn.Module):
    """One layer.

    Args:
        input_dim: d.
        hidden_dim: h.
        generator: Of the first weights: uniform within ±1/√h.
    """

    def __init__(self, input_dim: int, hidden_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.unit = uniform(torch.nn.GRU(input_dim, hidden_dim, device="meta"), hidden_dim**-0.5, generator)

    def forward(self, events: torch.Tensor, sequences: Sequences) -> torch.Tensor:
        """(T, h) states, each after its event.

        Args:
            events: (T, d), in the order of ``sequences``.
            sequences: Whose lengths count.
        """
        by_step, num_running = steps_of(sequences)
        back = np.argsort(by_step)
        packed = PackedSequence(
            events.index_select(0, torch.from_numpy(by_step).to(events.device)),
            torch.from_numpy(num_running),
        )
        states: PackedSequence = self.unit(packed)[0]
        return states.data.index_select(0, torch.from_numpy(back).to(events.device))


def steps_of(sequences: Sequences) -> tuple[IntArray, IntArray]:
    """Events step by step: the first ones of all histories, then the second ones, longest history first.

    Returns:
        (T,) int64: the place of each event in the line, and (longest length,) int64: histories that are
        still running at each step.
    """
    histories = np.repeat(np.arange(len(sequences.lengths)), sequences.lengths)
    steps = np.repeat(sequences.lengths, sequences.lengths) - sequences.ages - 1
    return np.lexsort((-histories, steps)), np.bincount(steps)

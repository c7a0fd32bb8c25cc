"""Every prefix of a session as a session of its own, for models that read a session as a whole.

Wu et al., "Session-based Recommendation with Graph Neural Networks", AAAI 2019, section 4.1: a session
v1 … vn asks for v2 after v1, for v3 after v1 v2, and so on. A graph of v1 v2 v3 does not hold that of v1 v2,
so that states of all events cannot be read off one graph, as a causal model reads them.

Letters: b sessions, T events of them, I items, d embedding_dim.
"""

from typing import Protocol

import numpy as np
import torch

from recommender.data import IntArray
from recommender.sequence.sequences import Sequences


class Reader(Protocol):
    """A `torch.nn.Module` that makes one state of a session."""

    def __call__(
        self, items: torch.Tensor, sessions: Sequences, noise: torch.Generator | None
    ) -> torch.Tensor:
        """(b, d) states, from (I, d) item vectors; with dropout if there is noise."""
        ...


class PrefixEncoder(torch.nn.Module):
    """An `Encoder` of `sequence.model`: each event's state is the reader's of all up to it.

    Cost: Σ over sessions of (events)² / 2 events are read while training.

    Args:
        reader: Of whole sessions.
        max_length: Newest events of a session that are read.
    """

    def __init__(self, reader: Reader, max_length: int) -> None:
        super().__init__()
        self.reader = reader
        self.max_length = max_length

    def forward(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        """(T, d) states; without noise only the newest of each session, which alone are asked for then.

        Args:
            items: (I, d) item vectors.
            sequences: Sessions of at most ``max_length`` events.
            noise: Source of dropout; without it, the other states are zero.
        """
        if noise is None:
            sessions, events = sequences, sequences.newest
        else:
            sessions, events = prefixes_of(sequences)
        states = self.reader(items, sessions, noise)
        places = torch.from_numpy(events).to(items.device)
        return states.new_zeros(len(sequences.items), states.shape[1]).index_copy(0, places, states)


def prefixes_of(sequences: Sequences) -> tuple[Sequences, IntArray]:
    """All prefixes, shortest first.

    Returns:
        T prefixes, and (T,) int64: the place of the event that each of them ends with.
    """
    all_lengths = np.repeat(sequences.lengths, sequences.lengths) - sequences.ages  # (T,)
    ends = np.argsort(all_lengths, kind="stable")
    lengths = all_lengths[ends]
    starts = np.repeat(ends + 1 - np.cumsum(lengths), lengths)
    return Sequences(sequences.items[starts + np.arange(len(starts))], lengths), ends

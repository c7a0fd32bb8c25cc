"""The newest events of a history as of every event, for models that read no further back.

Letters: T events, L length of a window.
"""

import numpy as np
import torch
from pydantic import Field, model_validator

from recommender.data import IntArray
from recommender.sequence.sequences import Sequences
from recommender.sequence.user_network import UserSequenceConfig


class WindowConfig(UserSequenceConfig):
    """Settings of models that read windows."""

    window: int = Field(default=5, ge=1, description="Newest items L that are read.")

    @model_validator(mode="after")
    def _histories_fill_it(self) -> "WindowConfig":
        if self.window > self.max_length:
            raise ValueError(
                f"window={self.window} is longer than max_length={self.max_length}, the newest events that "
                "are read at all; set max_length as well"
            )
        return self


def window_places(sequences: Sequences, length: int) -> IntArray:
    """(T, L) int64 places of an event and of those before it in its history, oldest first; -1 for none."""
    firsts = np.repeat(np.cumsum(sequences.lengths) - sequences.lengths, sequences.lengths)  # (T,)
    places = np.arange(len(sequences.items))[:, None] + np.arange(1 - length, 1)  # (T, L)
    return np.where(places < firsts[:, None], -1, places)


def window_events(
    vectors: torch.Tensor, sequences: Sequences, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of the items in every window.

    Args:
        vectors: (I, d) of items.
        sequences: Histories.
        length: L.

    Returns:
        (T, L, d), zero where a history had not begun, and (T, L) bool: where it had.
    """
    places = window_places(sequences, length)
    rows = torch.from_numpy(sequences.items[places]).to(vectors.device)
    known = torch.from_numpy(places >= 0).to(vectors.device)
    events = vectors.index_select(0, rows.flatten()).view(*rows.shape, -1)
    return events * known.unsqueeze(2), known

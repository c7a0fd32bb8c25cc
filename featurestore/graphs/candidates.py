"""Candidates: more neighbours than a graph needs, and what is known of those that were left out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.graph import NeighborLists
from featurestore.graphs import order_keys
from featurestore.graphs.order_keys import Keys

SPARE: Final = 16
"""Candidates kept beyond k, so that a graph outlives changes of its nodes' neighbours."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Neighbours of q nodes, best first, each list complete up to its boundary.

    Attributes:
        keys: (q, width) `order_keys`, ascending, padded with `order_keys.NONE`.
        boundary: (q,) keys. All listed neighbours are at or before it, all others after it; `order_keys.NONE`
            where nobody was left out.
    """

    keys: Keys
    boundary: Keys

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def width(self) -> int:
        """How many neighbours a list may hold."""
        return self.keys.shape[1]

    def take(self, positions: npt.NDArray[np.int64]) -> "Candidates":
        """The lists at some positions."""
        return Candidates(self.keys[positions], self.boundary[positions])

    def put(self, positions: npt.NDArray[np.int64], lists: "Candidates") -> None:
        """Replace the lists at some positions."""
        self.keys[positions] = lists.keys
        self.boundary[positions] = lists.boundary

    def short_of(self, num_neighbors: int) -> npt.NDArray[np.int64]:
        """Positions of the lists that hold fewer than ``num_neighbors`` although somebody was left out."""
        column = min(num_neighbors, self.width) - 1
        return np.flatnonzero((self.keys[:, column] == order_keys.NONE) & (self.boundary != order_keys.NONE))

    def lists(self, num_neighbors: int) -> NeighborLists:
        """The first ``num_neighbors`` of each list."""
        return NeighborLists(*order_keys.decode(self.keys[:, :num_neighbors]))

"""The graph boundary: kNN graphs from vectors.

Builders: `featurestore.graphs.blocked` (the default), `featurestore.graphs.exact` (the oracle) and
`featurestore.graphs.faiss_knn` pass ``tests/contracts/test_graph_contract.py``; the approximate ones
(`featurestore.graphs.faiss_approximate`) pass the part of it that is not about exactness.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from featurestore.spec import NeighborSearch


@dataclass(frozen=True, slots=True)
class NeighborLists:
    """k nearest neighbours of n nodes.

    Attributes:
        neighbors: (n, k) int64, rows of the vectors given; -1 where a node has fewer than k others.
        scores: (n, k) float32 cosine similarities, descending; 0 where ``neighbors`` is -1.
    """

    neighbors: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


class GraphBuilder(Protocol):
    """Builds the kNN graph of a set of vectors."""

    name: str
    search: NeighborSearch
    """What it promises: all exact builders give the same graph."""

    def build(self, vectors: npt.NDArray[np.float32], num_neighbors: int) -> NeighborLists:
        """Nearest neighbours by cosine similarity, without self loops.

        Scores are exact, rounded to float32; equal ones rank by ascending row.

        Args:
            vectors: (n, d) float32, finite, no zero rows. Rows are in ascending id order.
            num_neighbors: k ≥ 1; lists are padded with -1 if k > n - 1.

        Raises:
            InputError: If vectors hold NaN or a zero row (its row is named).
        """
        ...

"""The graph boundary: kNN graphs from vectors.

Builders: `featurestore.graphs.exact` (NumPy oracle) and `featurestore.graphs.faiss_knn`. Both pass
``tests/contracts/test_graph_contract.py``.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


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
    """Builds the exact kNN graph of a set of vectors."""

    name: str

    def build(self, vectors: npt.NDArray[np.float32], num_neighbors: int) -> NeighborLists:
        """Nearest neighbours by cosine similarity, without self loops; equal scores by ascending row.

        Args:
            vectors: (n, d) float32, finite, no zero rows. Rows are in ascending id order.
            num_neighbors: k ≥ 1; lists are padded with -1 if k > n - 1.

        Raises:
            InputError: If vectors hold NaN or a zero row (its row is named).
        """
        ...

"""Exact kNN by blocked float32 products and float64 scores, that keeps up with changes: the default.

It gives the oracle's graph (`featurestore.graphs.exact`), whether it was built from nothing or brought up to
date.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from featurestore.graph import NeighborLists
from featurestore.graphs.ranking import checked_vectors
from featurestore.graphs.twins import vector_digests
from featurestore.graphs.updating import GraphNodes, GraphWork, KnownLists, updated_lists
from featurestore.spec import ExactSearch, NeighborSearch


class BlockedGraphBuilder:
    """Searches all rows, or those that changed."""

    name = "blocked"
    search: NeighborSearch = ExactSearch()

    def build(self, vectors: npt.NDArray[np.float32], num_neighbors: int) -> NeighborLists:
        """See `GraphBuilder.build`."""
        nameless = np.empty(len(vectors), np.object_)
        found, _ = self.update(nameless, vectors, num_neighbors, known=None)
        return found.candidates.lists(num_neighbors)

    def update(
        self,
        ids: npt.NDArray[np.object_],
        vectors: npt.NDArray[np.float32],
        num_neighbors: int,
        *,
        known: KnownLists | None,
        on_done: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> tuple[KnownLists, GraphWork]:
        """Lists of all nodes, from those of an earlier state where it is known.

        Args:
            ids: (n,) external ids, ascending.
            vectors: (n, d) float32, finite, no zero rows.
            num_neighbors: k: so many neighbours of each node are exact.
            known: What the last update gave, of any nodes; None builds from nothing.
            on_done: Told how many of how many rows were searched.

        Raises:
            InputError: As `build`.
        """
        rows = checked_vectors(vectors)
        nodes = GraphNodes(ids, vector_digests(rows.values), rows)
        lists, work = updated_lists(nodes, known, num_neighbors, on_done=on_done)
        return KnownLists(ids, nodes.digests, lists), work

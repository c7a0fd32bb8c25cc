"""Connected components of a graph, its directions left aside."""

import numpy as np
import numpy.typing as npt


def component_of(
    num_nodes: int, sources: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The component of each node, as the smallest node in it.

    Hooks the larger root of every edge to the smaller one and shortens the paths, until no edge joins two
    components: about log n rounds over the edges.

    Args:
        num_nodes: Nodes are 0 … num_nodes - 1.
        sources: (e,) int64.
        targets: (e,) int64.

    Returns:
        (num_nodes,) int64.
    """
    root = np.arange(num_nodes, dtype=np.int64)
    while True:
        first, second = root[sources], root[targets]
        apart = first != second
        if not apart.any():
            return root
        low, high = np.minimum(first[apart], second[apart]), np.maximum(first[apart], second[apart])
        np.minimum.at(root, high, low)
        while (root[root] != root).any():
            root = root[root]

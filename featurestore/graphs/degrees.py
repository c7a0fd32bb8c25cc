"""Degree statistics of a kNN graph: does it hang together, or do a few hubs take all edges?"""

import numpy as np
import numpy.typing as npt

from featurestore.graphs.edges import EdgeList
from featurestore.spec import Frozen

_HUB_TIMES_MEAN = 5


class DegreeStats(Frozen):
    """How the edges of a graph are spread; self loops do not count."""

    num_nodes: int
    num_edges: int
    in_degree_median: float
    in_degree_p90: float
    in_degree_p99: float
    in_degree_max: int
    num_unreached: int
    """Nodes that are nobody's neighbour."""
    num_isolated: int
    """Nodes without any edge, in or out."""
    num_hubs: int
    """Nodes with more than five times the mean in-degree."""
    hub_edge_share: float
    """Share of all edges that end in a hub."""
    mutual_share: float
    """Share of edges whose reverse is an edge too."""
    mean_score: float


def degree_stats(edges: EdgeList) -> DegreeStats:
    """Statistics of the edges between different nodes (`featurestore.graphs.edges.linked`)."""
    num_nodes, sources, targets = edges.num_nodes, edges.sources, edges.targets
    has_neighbors = np.bincount(sources, minlength=num_nodes) > 0
    in_degree = np.bincount(targets, minlength=num_nodes)
    quantiles = np.quantile(in_degree, [0.5, 0.9, 0.99]) if num_nodes else np.zeros(3)
    return DegreeStats(
        num_nodes=num_nodes,
        num_edges=len(targets),
        in_degree_median=float(quantiles[0]),
        in_degree_p90=float(quantiles[1]),
        in_degree_p99=float(quantiles[2]),
        in_degree_max=int(in_degree.max(initial=0)),
        num_unreached=int((in_degree == 0).sum()),
        num_isolated=int(((in_degree == 0) & ~has_neighbors).sum()),
        num_hubs=int(is_hub(in_degree).sum()),
        hub_edge_share=hub_edge_share(in_degree),
        mutual_share=_mutual_share(edges),
        mean_score=float(edges.scores.mean(dtype=np.float64)) if len(targets) else 0.0,
    )


def is_hub(in_degree: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of n nodes have more than five times the mean in-degree: (n,) int64 to (n,) bool."""
    return in_degree > _HUB_TIMES_MEAN * max(int(in_degree.sum()), 1) / max(len(in_degree), 1)


def hub_edge_share(in_degree: npt.NDArray[np.int64]) -> float:
    """Share of all edges that end in a hub, from the (n,) in-degrees of all nodes."""
    return float(in_degree[is_hub(in_degree)].sum() / max(int(in_degree.sum()), 1))


def _mutual_share(edges: EdgeList) -> float:
    """By one sort of all edges and their reverses: what is there twice goes both ways."""
    forward = edges.sources * edges.num_nodes + edges.targets
    backward = edges.targets * edges.num_nodes + edges.sources
    both = np.sort(np.concatenate([forward, backward]))
    return float((both[1:] == both[:-1]).sum() / max(len(forward), 1))

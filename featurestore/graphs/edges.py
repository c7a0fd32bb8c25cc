"""From neighbour lists to edges: which go both ways, how many may enter a node, what they weigh."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from featurestore.graph import NeighborLists
from featurestore.spec import Frozen, GraphSpec

Nodes = npt.NDArray[np.int64]


class GraphShape(Frozen):
    """How neighbour lists become edges; the defaults keep every list as it is."""

    weights: Literal["cosine", "binary"] = "cosine"
    """What an edge weighs: the similarity of its ends, or 1."""
    self_loops: bool = False
    """Whether every node is its own nearest neighbour."""
    symmetry: Literal["directed", "union", "mutual"] = "directed"
    """``union``: an edge goes both ways if one end names the other; ``mutual``: only if both do."""
    max_in_degree: int | None = Field(default=None, ge=1)
    """Each node keeps so many of its strongest incoming edges; unset, all."""

    def changed(self, **options: object) -> "GraphShape":
        """This shape with other options; those that are None stay as they are."""
        given = {name: value for name, value in options.items() if value is not None}
        return GraphShape.model_validate(self.model_dump() | given)

    @classmethod
    def of(cls, spec: GraphSpec) -> "GraphShape":
        """The shape of a graph that was built."""
        return cls.model_validate({name: getattr(spec, name) for name in cls.model_fields})


@dataclass(frozen=True, slots=True)
class EdgeList:
    """Edges of a graph of n nodes, by source, then nearest first.

    Attributes:
        num_nodes: n.
        sources: (e,) int64.
        targets: (e,) int64.
        ranks: (e,) int32, the edge's place among those of its source.
        scores: (e,) float32 weights.
    """

    num_nodes: int
    sources: Nodes
    targets: Nodes
    ranks: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]


def linked(lists: NeighborLists, shape: GraphShape) -> EdgeList:
    """The edges between different nodes, weighing the similarity of their ends.

    First the symmetry, then the largest in-degree; a graph that was symmetric stays so: an edge that one of
    its ends cannot keep goes in both directions.
    """
    num_nodes = len(lists.neighbors)
    sources, places = np.nonzero(lists.neighbors >= 0)
    edges = EdgeList(
        num_nodes,
        sources,
        lists.neighbors[sources, places],
        places.astype(np.int32),
        lists.scores[sources, places],
    )
    if shape.symmetry == "union":
        edges = _with_reversed(edges)
    elif shape.symmetry == "mutual":
        edges = _both_ways(edges)
    if shape.max_in_degree is not None:
        edges = _capped(edges, shape.max_in_degree)
        edges = edges if shape.symmetry == "directed" else _both_ways(edges)
    return edges


def weighted(edges: EdgeList, shape: GraphShape) -> EdgeList:
    """The edges as they are stored: with self loops, which rank first, and with their weights."""
    if shape.self_loops:
        nodes = np.arange(edges.num_nodes)
        first = np.searchsorted(edges.sources, nodes)
        edges = EdgeList(
            edges.num_nodes,
            np.insert(edges.sources, first, nodes),
            np.insert(edges.targets, first, nodes),
            np.insert(edges.ranks + 1, first, 0).astype(np.int32),
            np.insert(edges.scores, first, 1.0).astype(np.float32),
        )
    return replace(edges, scores=np.ones_like(edges.scores)) if shape.weights == "binary" else edges


def _with_reversed(edges: EdgeList) -> EdgeList:
    both = np.concatenate([_codes(edges), _reversed_codes(edges)])
    codes, first = np.unique(both, return_index=True)
    scores = np.concatenate([edges.scores, edges.scores])[first]
    return _ranked(edges.num_nodes, codes // edges.num_nodes, codes % edges.num_nodes, scores)


def _both_ways(edges: EdgeList) -> EdgeList:
    return _kept(edges, np.isin(_codes(edges), _reversed_codes(edges)))


def _capped(edges: EdgeList, most: int) -> EdgeList:
    """The strongest incoming edges of each target; equal ones by ascending source."""
    order = np.lexsort((edges.sources, -edges.scores, edges.targets))
    places = np.empty(len(order), np.int64)
    places[order] = _places(edges.targets[order])
    return _kept(edges, places < most)


def _kept(edges: EdgeList, keep: npt.NDArray[np.bool_]) -> EdgeList:
    return _ranked(edges.num_nodes, edges.sources[keep], edges.targets[keep], edges.scores[keep])


def _ranked(num_nodes: int, sources: Nodes, targets: Nodes, scores: npt.NDArray[np.float32]) -> EdgeList:
    order = np.lexsort((targets, -scores, sources))
    ranks = _places(sources[order]).astype(np.int32)
    return EdgeList(num_nodes, sources[order], targets[order], ranks, scores[order])


def _places(sorted_values: Nodes) -> Nodes:
    """0, 1, 2, … within each run of equal values."""
    first = np.searchsorted(sorted_values, sorted_values, side="left")
    return np.arange(len(sorted_values)) - first


def _codes(edges: EdgeList) -> Nodes:
    return edges.sources * edges.num_nodes + edges.targets


def _reversed_codes(edges: EdgeList) -> Nodes:
    return edges.targets * edges.num_nodes + edges.sources

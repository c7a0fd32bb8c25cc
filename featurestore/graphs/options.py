"""The ``[graph]`` section of a project: how its graphs are built."""

from pydantic import Field

from featurestore.graphs.edges import GraphShape
from featurestore.spec import ExactSearch, Frozen, NeighborSearch


class GraphOptions(Frozen):
    """How ``featurestore graph`` builds, unless it is told otherwise."""

    num_neighbors: int = Field(default=20, ge=1)
    """Neighbours of each node."""
    shape: GraphShape = GraphShape()
    """How neighbours become edges: ``[graph.shape]``."""
    search: NeighborSearch = ExactSearch()
    """How neighbours are found: ``[graph.search]``."""

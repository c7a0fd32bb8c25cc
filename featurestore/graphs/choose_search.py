"""How the neighbours of a graph are best found on this machine: tried on its own nodes."""

from dataclasses import dataclass

from featurestore.features import FeatureRegistry
from featurestore.graph import GraphBuilder
from featurestore.graphs import open_builder
from featurestore.graphs.build import EntityUsers, graph_nodes
from featurestore.graphs.cost_model import SearchEstimate, cheapest, estimate_searches
from featurestore.graphs.faiss_knn import gpu_is_there
from featurestore.progress import Progress, no_progress
from featurestore.store import Store


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """What was tried and what was chosen.

    Attributes:
        estimates: All searches, fastest first.
        chosen: The fastest that finds enough.
    """

    estimates: tuple[SearchEstimate, ...]
    chosen: SearchEstimate

    def builder(self) -> GraphBuilder:
        """The builder of the search that was chosen."""
        return open_builder(None, self.chosen.device, self.chosen.search)


def choose_search(
    store: Store,
    *,
    feature: str,
    view: str,
    entity_users: EntityUsers,
    num_neighbors: int,
    min_recall: float,
    progress: Progress = no_progress,
) -> SearchChoice:
    """Try exact search, IVF and HNSW indexes, and a GPU if there is one, on a sample of a graph's nodes.

    Args:
        store: Holds the vectors.
        feature: Vector feature.
        view: View of it.
        entity_users: As in `featurestore.graphs.build.build_graph`.
        num_neighbors: k ≥ 1.
        min_recall: Share of the exact neighbours that a search must find on the sample, 0 to 1.
        progress: Told per trial.

    Raises:
        UnknownNameError: If the store has no such vectors.
        UsageError: If users are to be pooled from vectors that are not of items.
        InputError: If there are fewer than two nodes, or vectors hold NaN or zero rows.
    """
    vectors = FeatureRegistry(store).head("vector", feature, view)
    nodes = graph_nodes(store, vectors, entity_users)
    estimates = estimate_searches(nodes.vectors, num_neighbors, with_gpu=gpu_is_there(), progress=progress)
    return SearchChoice(tuple(estimates), cheapest(estimates, min_recall))

"""What whole words are made of: training events, projected texts of items, and who resembles whom.

ISRF (arXiv 2603.13934), eq. 2, 3 and 6. Ẽ is the frozen PCA of a release's vectors
(`recommender.text.projection`), the graph of users that of `recommender.interests.user_graph`.

Letters: U users, I items, K neighbours, d' dimensions of Ẽ.
"""

from dataclasses import dataclass

from featurestore.errors import UsageError
from recommender.data import FloatArray, IntArray, TrainingData
from recommender.features import NodeFeatures
from recommender.generative.config import GenerativeConfig
from recommender.interests.user_graph import user_neighbors
from recommender.model_arrays import fit_projections, project


@dataclass(frozen=True, slots=True)
class Sources:
    """What words are made of.

    Attributes:
        data: Its training pairs become the graph.
        item_vectors: (I, d') float32 Ẽ, or None.
        neighbors: (U, K) int64 of `recommender.interests.user_graph`; None without groups.
    """

    data: TrainingData
    item_vectors: FloatArray | None = None
    neighbors: IntArray | None = None


def read_sources(
    config: GenerativeConfig, data: TrainingData, features: NodeFeatures | None, *, seed: int
) -> Sources:
    """What the settings ask for.

    Args:
        config: Says which words there are, and whom users resemble.
        data: Its training events.
        features: Vectors of items, for Ẽ and the graph of users; of users, for that graph alone.
        seed: Of a random graph of users.

    Raises:
        UsageError: If vectors are asked for and absent.
    """
    item_vectors, neighbors = _item_vectors(config, features), None
    if config.has_groups:
        neighbors = user_neighbors(config.user_graph, config.num_neighbors, data, features, seed=seed)
    return Sources(data, item_vectors, neighbors)


def _item_vectors(config: GenerativeConfig, features: NodeFeatures | None) -> FloatArray | None:
    if config.word_embeddings != "graph" or config.fusion == "none":
        return None
    if features is None or features.items is None:
        raise UsageError(
            f"fusion={config.fusion} reads vectors of items, and there are none.",
            hint="Give vectors of a release, or set fusion=none.",
        )
    items = NodeFeatures(features.items)
    return project(fit_projections(items, config.pca_components), items)[1]

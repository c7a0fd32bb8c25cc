"""A `Recommender` around a network that reads a graph of users besides vectors of items.

`recommender.vector_model` trains and keeps one vector per user and item; what is added here is the
graph: it is made in `fit`, frozen, and saved with the model, as the projection of the items' vectors is.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, IntArray, TrainingData
from recommender.features import NodeFeatures
from recommender.interests.refinement import InterestConfig
from recommender.interests.user_graph import user_neighbors
from recommender.text.layer_zero import NodeVectors
from recommender.vector_model import VectorModel, VectorNetwork

GRAPH: Final = "user_graph"
"""The group of a saved model's arrays that holds ``neighbors``, (U, K) float32."""
_MOST_USERS: Final = 2**24  # saved arrays are float32, which holds whole numbers up to here exactly

NetworkType: TypeAlias = Callable[[IntArray, Any, TrainingData, NodeVectors, int], VectorNetwork]
"""(neighbours, config, data, projected vectors, seed) → a network on the CPU, with its first weights."""


class GroupModel:
    """See `recommender.base.Recommender`; `ReadsFeatures` too.

    Args:
        name: The model's file name.
        network_type: Its network.
        config: Its settings.
    """

    def __init__(self, name: str, network_type: NetworkType, config: InterestConfig) -> None:
        self.name = name
        self.config = config
        self._network_type = network_type
        self._graph: FloatArray | None = None  # (U, K)
        self._inner: VectorModel | None = None

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`; users' vectors are what the graph is made of, and nothing else.

        Raises:
            UsageError: If users are to be compared by vectors, and there are none.
        """
        graph = fit_graph(self.config, data, features, seed)
        inner = self._around(graph)
        report = inner.fit(
            data, features=items_only(features), seed=seed, progress=progress, checkpoint=checkpoint
        )
        self._graph, self._inner = graph, inner
        return report

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        return self._fitted()[1].score(users)

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) float32 final vectors, for graphs, indexes and other models.

        Raises:
            StoreError: If the model was neither fitted nor loaded.
        """
        return self._fitted()[1].vectors()

    def arrays(self) -> ArrayGroups:
        """Those of `VectorModel`, and the graph."""
        graph, inner = self._fitted()
        return inner.arrays() | {GRAPH: {"neighbors": graph}}

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        graph = groups[GRAPH]["neighbors"]
        inner = self._around(graph)
        inner.load_arrays({name: arrays for name, arrays in groups.items() if name != GRAPH})
        self._graph, self._inner = graph, inner

    def with_features(self, data: TrainingData, features: NodeFeatures) -> "GroupModel":
        """See `recommender.base.ReadsFeatures`; users resemble whom they resembled in `fit`."""
        graph, inner = self._fitted()
        other = GroupModel(self.name, self._network_type, self.config)
        other._graph, other._inner = graph, inner.with_features(data, NodeFeatures(features.items))
        return other

    def _around(self, graph: FloatArray) -> VectorModel:
        network_type = partial(self._network_type, graph.astype(np.int64))
        return VectorModel(self.name, network_type, self.config)

    def _fitted(self) -> tuple[FloatArray, VectorModel]:
        if self._graph is None or self._inner is None:
            raise StoreError(f"this {self.name} is empty.", hint="Call fit or load_arrays first.")
        return self._graph, self._inner


def fit_graph(
    config: InterestConfig, data: TrainingData, features: NodeFeatures | None, seed: int
) -> FloatArray:
    """The graph that the settings ask for, as it is saved: (U, K) float32 rows, -1 where there is none.

    Raises:
        UsageError: If there are too many users, or users are to be compared by vectors that are not there.
    """
    if data.num_users > _MOST_USERS:
        raise UsageError(
            f"the release has {data.num_users:,} users; a saved graph names {_MOST_USERS:,} at most.",
            hint="Train a model without a graph of users, such as lightgcn.",
        )
    found = user_neighbors(config.user_graph, config.num_neighbors, data, features, seed=seed)
    return found.astype(np.float32)


def items_only(features: NodeFeatures | None) -> NodeFeatures | None:
    """What the network reads: vectors of items, or nothing."""
    return None if features is None or features.items is None else NodeFeatures(features.items)

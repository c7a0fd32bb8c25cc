"""A `Recommender` around a network that trains one vector per user and item: score(u, i) = <e_u, e_i>.

Each model's file says what is its own: settings and a network. What all of them share stands here once: the
frozen projections, training, cold users, arrays on disk. A model is put together at the end of its file:

    Model = partial(VectorModel, "lightgcn", Network)
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import torch

from featurestore.errors import StoreError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, TrainingData
from recommender.features import NodeFeatures
from recommender.model_arrays import (
    fit_projections,
    load_parameters,
    parameter_arrays,
    project,
    projection_groups,
    saved_projections,
)
from recommender.text.layer_zero import NodeVectors
from recommender.training.config import training_device
from recommender.training.embedding_config import EmbeddingConfig
from recommender.training.sampling import PairBatch
from recommender.training.trainer import Trainable, average_cold_users, score_users, train


class VectorNetwork(Trainable[PairBatch], Protocol):
    """A `torch.nn.Module` that `VectorModel` trains."""

    def to(self, device: torch.device) -> "VectorNetwork":
        """Move all parameters and buffers."""
        ...


NetworkType: TypeAlias = Callable[[Any, TrainingData, NodeVectors, int], VectorNetwork]
"""(config, data, projected vectors, seed) → a network on the CPU, with its first weights."""


class VectorModel:
    """See `recommender.base.Recommender`.

    Args:
        name: The model's file name.
        network_type: Its network.
        config: Its settings.
    """

    def __init__(self, name: str, network_type: NetworkType, config: EmbeddingConfig) -> None:
        self.name = name
        self.config = config
        self._network_type = network_type
        self._user_vectors: torch.Tensor | None = None  # (U, d)
        self._item_vectors: torch.Tensor | None = None  # (I, d)
        self._extra: ArrayGroups = {}

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`."""
        projections = fit_projections(features, self.config.pca_components)
        vectors = project(projections, features)
        network = self._network_type(self.config, data, vectors, seed).to(training_device(self.config))
        report = train(network, data, self.config, seed=seed, progress=progress, checkpoint=checkpoint)
        self._take_vectors(network, data)
        self._extra = {"weights": parameter_arrays(network)} | projection_groups(projections)
        return report

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        user_vectors, item_vectors = self.vectors()
        return score_users(user_vectors, item_vectors, users)

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) float32 final vectors, for graphs, indexes and other models.

        Raises:
            StoreError: If the model was neither fitted nor loaded.
        """
        if self._user_vectors is None or self._item_vectors is None:
            raise StoreError(f"this {self.name} is empty.", hint="Call fit or load_arrays first.")
        return self._user_vectors, self._item_vectors

    def arrays(self) -> ArrayGroups:
        """Final vectors and parameters as ``weights``; the frozen projections as ``pca`` and ``user_pca``."""
        user_vectors, item_vectors = self.vectors()
        final = {"user_vectors": user_vectors.numpy(), "item_vectors": item_vectors.numpy()}
        return self._extra | {"weights": self._extra["weights"] | final}

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        weights = dict(groups["weights"])
        self._user_vectors = torch.from_numpy(weights.pop("user_vectors"))
        self._item_vectors = torch.from_numpy(weights.pop("item_vectors"))
        self._extra = groups | {"weights": weights}

    def with_features(self, data: TrainingData, features: NodeFeatures) -> "VectorModel":
        """See `recommender.base.ReadsFeatures`."""
        self.vectors()
        projections = saved_projections(self._extra, self.name)
        other = VectorModel(self.name, self._network_type, self.config)
        network = self._network_type(self.config, data, project(projections, features), 0)
        load_parameters(network, self._extra["weights"])
        other._extra = self._extra
        other._take_vectors(network, data)
        return other

    def _take_vectors(self, network: VectorNetwork, data: TrainingData) -> None:
        users, items = (vectors.cpu() for vectors in network.score_vectors())
        self._user_vectors, self._item_vectors = average_cold_users(users, data), items

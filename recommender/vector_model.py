"""A `Recommender` around a network that trains one vector per user and item: score(u, i) = <e_u, e_i>.

Each model's file says what is its own: settings and a network. What all of them share stands here once: the
frozen projections, training, cold users, arrays on disk. A model is put together at the end of its file:

    Model = partial(VectorModel, "lightgcn", Network)
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from featurestore.errors import StoreError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, TrainingData
from recommender.features import EntityFeatures, NodeFeatures
from recommender.layer_zero import EmbeddingConfig, NodeVectors
from recommender.projection import Projection, fit_projection
from recommender.sampling import PairBatch
from recommender.trainer import Trainable, score_users, train, training_device

_SIDES = ("users", "items")
_GROUPS = {"users": "user_pca", "items": "pca"}


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
        projections = self._projections(features)
        vectors = _projected(projections, features)
        network = self._network_type(self.config, data, vectors, seed).to(training_device(self.config))
        report = train(network, data, self.config, seed=seed, progress=progress, checkpoint=checkpoint)
        self._take_vectors(network, data)
        trained = {f"parameter.{n}": _array(w) for n, w in network.named_parameters()}
        self._extra = {"weights": trained} | {_GROUPS[s]: p.arrays() for s, p in projections.items()}
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
        projections = {s: Projection(**self._extra[g]) for s, g in _GROUPS.items() if g in self._extra}
        if not projections:
            raise StoreError(
                f"this {self.name} was fitted without features.", hint="Train it with --features FEATURE."
            )
        other = VectorModel(self.name, self._network_type, self.config)
        network = self._network_type(self.config, data, _projected(projections, features), 0)
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(torch.from_numpy(self._extra["weights"][f"parameter.{name}"]))
        other._extra = self._extra
        other._take_vectors(network, data)
        return other

    def _projections(self, features: NodeFeatures | None) -> dict[str, Projection]:
        given: dict[str, EntityFeatures | None] = {s: getattr(features, s, None) for s in _SIDES}
        return {s: fit_projection(f, self.config.pca_components) for s, f in given.items() if f is not None}

    def _take_vectors(self, network: VectorNetwork, data: TrainingData) -> None:
        users, items = (vectors.cpu() for vectors in network.score_vectors())
        self._user_vectors, self._item_vectors = average_cold_users(users, data), items


def average_cold_users(user_vectors: torch.Tensor, data: TrainingData) -> torch.Tensor:
    """(U, d) in which a user without training events is the mean of all others: our reconstruction."""
    cold = data.seen.degrees == 0
    if not cold.any() or cold.all():
        return user_vectors
    rows = torch.from_numpy(cold)
    return torch.where(rows.unsqueeze(1), user_vectors[~rows].mean(dim=0), user_vectors)


def _projected(projections: dict[str, Projection], features: NodeFeatures | None) -> NodeVectors:
    vectors: dict[str, FloatArray | None] = dict.fromkeys(_SIDES)
    for side, projection in projections.items():
        given: EntityFeatures | None = getattr(features, side)
        if given is None:
            raise StoreError(f"the model was fitted with vectors of {side}, and none are given.")
        vectors[side] = projection.apply(given)
    return vectors["users"], vectors["items"]


def _array(weight: torch.Tensor) -> FloatArray:
    return np.array(weight.detach().cpu().numpy(), np.float32)

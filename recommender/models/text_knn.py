"""Text only: items whose vectors are close to those of what a user had. Who else had them is not looked at.

    v_i = x_i / |x_i|        x_i: the item's vector
    score(u, i) = cos(v_i, mean of v_j over the items j of u)
    with neighbors k: score(u, i) = mean of the k largest v_i · v_j over the items j of u

The control of every model that mixes text with interactions: what the text says alone. An item without a
vector scores -1, the lowest cosine. A user of whose items none has a vector is scored by the cosine to the
mean of all users' means.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress, no_progress
from featurestore.spec import Frozen
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, TrainingData
from recommender.features import EntityFeatures, NodeFeatures
from recommender.graph.sparse import SparseRows, from_arrays, profile_rows

BoolArray: TypeAlias = npt.NDArray[np.bool_]


class Config(Frozen):
    """Settings of text_knn."""

    neighbors: int | None = Field(
        default=None,
        ge=1,
        description="Nearest items of a user that an item is compared with; none: the mean of all of them.",
    )


class Model:
    """Unit vectors of one release's items. U users, I items, d dimensions of the vectors."""

    name: str = "text_knn"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._profiles: SparseRows | None = None  # (U, I) 1 / number of the user's items that have a vector
        self._vectors = np.zeros((0, 0), np.float32)  # (I, d), zero without a vector
        self._average = np.zeros(0, np.float32)  # (d,) mean of all users' means

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`; there is nothing random.

        Raises:
            UsageError: If there are no item features, or user features besides.
        """
        del seed, progress, checkpoint
        items = _item_features(features)
        self._vectors = _unit_rows(items.matrix, items.has_vector)
        self._profiles = _mean_profiles(data, _has_vector(self._vectors))
        means = self._profiles.times_dense(self._vectors)  # (U, d)
        num_known = np.count_nonzero(self._profiles.lengths)
        self._average = (means.sum(axis=0, dtype=np.float64) / max(num_known, 1)).astype(np.float32)
        return FitReport()

    def with_features(self, data: TrainingData, features: NodeFeatures) -> "Model":
        """See `recommender.base.ReadsFeatures`; there are no weights to keep."""
        self._fitted()
        other = Model(self.config)
        other.fit(data, features=features, seed=0, progress=no_progress)
        return other

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`. Cost with ``neighbors``: I · d for every item of every user."""
        profiles = self._fitted().take(users)  # (n, I)
        known = profiles.lengths > 0
        means = np.where(known[:, None], profiles.times_dense(self._vectors), self._average)  # (n, d)
        scores = _unit_rows(means) @ self._vectors.T  # (n, I)
        if self.config.neighbors is not None:
            for line in np.flatnonzero(known):
                items = profiles.columns[profiles.indptr[line] : profiles.indptr[line + 1]]
                scores[line] = self._nearest_mean(items, self.config.neighbors)
        scores[:, ~_has_vector(self._vectors)] = -1.0
        return scores

    def arrays(self) -> ArrayGroups:
        """Unit vectors and the average user's as ``weights``, users' items as ``profiles``."""
        profiles = self._fitted()
        weights = {"item_vectors": self._vectors, "average_profile": self._average}
        return {"weights": weights, "profiles": profiles.arrays()}

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        self._vectors = groups["weights"]["item_vectors"]
        self._average = groups["weights"]["average_profile"]
        self._profiles = from_arrays(groups["profiles"], len(self._vectors))

    def _nearest_mean(self, items: RowArray, neighbors: int) -> FloatArray:
        """(I,) mean of the largest cosines of every item with ``items``."""
        cosines = self._vectors[items] @ self._vectors.T  # (items of the user, I)
        if len(items) > neighbors:
            cosines = np.partition(cosines, len(items) - neighbors, axis=0)[-neighbors:]
        return cosines.mean(axis=0)

    def _fitted(self) -> SparseRows:
        if self._profiles is None:
            raise StoreError("this text_knn model is empty.", hint="Call fit or load_arrays first.")
        return self._profiles


def _item_features(features: NodeFeatures | None) -> EntityFeatures:
    if features is None or features.items is None:
        raise UsageError(
            "text_knn compares item vectors, and none were given.", hint="Pass --features FEATURE."
        )
    if features.users is not None:
        raise UsageError("text_knn uses no user features: a user is the items that the user had.")
    return features.items


def _has_vector(vectors: FloatArray) -> BoolArray:
    return (vectors != 0).any(axis=1)


def _mean_profiles(data: TrainingData, has_vector: BoolArray) -> SparseRows:
    """(U, I) whose product with the items' vectors is every user's mean; items without one are left out."""
    kept = has_vector[data.train_items]
    users, items = data.train_users[kept], data.train_items[kept]
    counts = np.bincount(users, minlength=data.num_users)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return profile_rows(indptr, items, data.num_items, (1.0 / counts[users]).astype(np.float32))


def _unit_rows(matrix: FloatArray, chosen: BoolArray | None = None) -> FloatArray:
    """Rows divided by their length, in new memory; zero rows, and rows that are not ``chosen``, are zero."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    usable = lengths > 0 if chosen is None else (lengths > 0) & chosen[:, None]
    return np.where(usable, matrix / np.where(lengths > 0, lengths, 1), 0).astype(np.float32)

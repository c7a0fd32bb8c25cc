"""Popularity: every user gets the items that most users had in training. The control of every evaluation."""

import numpy as np

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from featurestore.spec import Frozen
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, TrainingData
from recommender.features import NodeFeatures


class Config(Frozen):
    """Nothing to set."""


class Model:
    """score(u, i) = number of users who have i in training."""

    name: str = "popularity"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._counts: FloatArray | None = None  # (I,)

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`; there is nothing random and nothing to wait for."""
        del seed, progress, checkpoint
        if features is not None:
            raise UsageError("popularity uses no item features.", hint="Leave --features out.")
        self._counts = data.item_degrees.astype(np.float32)
        return FitReport()

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        if self._counts is None:
            raise StoreError("this popularity model is empty.", hint="Call fit or load_arrays first.")
        return np.tile(self._counts, (len(users), 1))

    def arrays(self) -> ArrayGroups:
        """See `Recommender.arrays`."""
        if self._counts is None:
            raise StoreError("this popularity model is empty.", hint="Call fit or load_arrays first.")
        return {"weights": {"item_counts": self._counts}}

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        self._counts = groups["weights"]["item_counts"]

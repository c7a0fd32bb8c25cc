"""Item-based nearest neighbours: what is close to the items that a user had.

Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001, sections 3.1.1 and
3.2.1, on a binary matrix of users and items:

    sim(i, j) = users who had both / (√(users of i · users of j) + shrinkage)
    score(u, i) = Σ_{j ∈ N(i), u had j} sim(i, j)        N(i): the most similar items of i

The paper divides the sum by Σ sim(i, j) over the same j, which makes every score of binary data 1: left out
here. A user without training events gets the mean score of the users who have some.
"""

import numpy as np
from pydantic import Field

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from featurestore.spec import Frozen
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, TrainingData
from recommender.features import NodeFeatures
from recommender.graph.sparse import SparseRows, from_arrays, item_cosines, largest_per_row, profile_rows


class Config(Frozen):
    """Settings of item_knn."""

    neighbors: int = Field(default=100, ge=1, description="Most similar items that are kept of every item.")
    shrinkage: float = Field(
        default=0.0, ge=0, description="Added to the divisor of a similarity: pairs of few users count less."
    )


class Model:
    """Similarities of one release's items. U users, I items."""

    name: str = "item_knn"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._profiles: SparseRows | None = None  # (U, I) ones
        self._similar: SparseRows | None = None  # (I, I), row j column i: sim(i, j) if j is in N(i)
        self._average = np.zeros(0, np.float32)  # (I,) scores of a user without training events

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`; there is nothing random."""
        del seed, progress, checkpoint
        if features is not None:
            raise UsageError("item_knn uses no item features.", hint="Leave --features out.")
        profiles = profile_rows(data.seen.indptr, data.seen.items, data.num_items)
        cosines = item_cosines(profiles, shrinkage=self.config.shrinkage)
        neighbors = largest_per_row(cosines, self.config.neighbors)  # row i: N(i)
        shares = data.item_degrees / np.count_nonzero(data.seen.degrees)  # (I,) of users with events
        self._average = neighbors.times_dense(shares.astype(np.float32)[:, None])[:, 0]
        self._profiles, self._similar = profiles, neighbors.transposed()
        return FitReport()

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        all_profiles, similar = self._fitted()
        profiles = all_profiles.take(users)  # (n, I)
        scores = profiles.times(similar)
        scores[profiles.lengths == 0] = self._average
        return scores

    def arrays(self) -> ArrayGroups:
        """Users' items as ``profiles``, what is similar to an item as ``similarities``."""
        profiles, similar = self._fitted()
        return {
            "weights": {"average_scores": self._average},
            "profiles": profiles.arrays(),
            "similarities": similar.arrays(),
        }

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        self._average = groups["weights"]["average_scores"]
        self._profiles = from_arrays(groups["profiles"], len(self._average))
        self._similar = from_arrays(groups["similarities"], len(self._average))

    def _fitted(self) -> tuple[SparseRows, SparseRows]:
        if self._profiles is None or self._similar is None:
            raise StoreError("this item_knn model is empty.", hint="Call fit or load_arrays first.")
        return self._profiles, self._similar

"""EASE: a linear autoencoder in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8 and algorithm 1:

    P = (XᵀX + reg · 1)⁻¹        X (U, I): 1 where a user had an item in training
    B = 1 - P · diag(1 / diag P)        zero on the diagonal: no item speaks for itself
    score(u, i) = x_u B_i

The inverse is taken in float64 and B kept in float32. A user without training events gets the mean score of
the users who have some.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.linalg
from pydantic import Field

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from featurestore.spec import Frozen
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, TrainingData
from recommender.features import NodeFeatures
from recommender.graph.sparse import SparseRows, from_arrays, profile_rows

_BYTES_PER_PAIR: Final = 12  # float64 inverse and float32 weights
_BLOCK: Final = 1024


class Config(Frozen):
    """Settings of EASE."""

    reg: float = Field(default=250.0, gt=0, description="L2 penalty on the weights B.")
    max_items: int = Field(
        default=30_000, ge=1, description="Largest catalogue that is taken; 12 bytes per pair of items."
    )


class Model:
    """Weights between all items of one release. U users, I items.

    Cost of `fit`: I³ multiplications and 12 I² bytes (1.8 GB at 12,000 items). Kept and saved: 4 I² bytes.
    """

    name: str = "ease"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._profiles: SparseRows | None = None  # (U, I) ones
        self._weights = np.zeros((0, 0), np.float32)  # (I, I) B
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
        """See `Recommender.fit`; there is nothing random.

        Raises:
            UsageError: If there are features, or more items than ``max_items``.
        """
        del seed, progress, checkpoint
        if features is not None:
            raise UsageError("ease uses no item features.", hint="Leave --features out.")
        self._check_size(data.num_items)
        profiles = profile_rows(data.seen.indptr, data.seen.items, data.num_items)
        self._weights = item_weights(profiles, self.config.reg)
        self._profiles = profiles
        num_warm = np.count_nonzero(data.seen.degrees)
        self._average = (data.item_degrees / num_warm).astype(np.float32) @ self._weights
        return FitReport()

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        profiles = self._fitted().take(users)  # (n, I)
        scores = profiles.times_dense(self._weights)
        scores[profiles.lengths == 0] = self._average
        return scores

    def arrays(self) -> ArrayGroups:
        """B and the average user's scores as ``weights``, users' items as ``profiles``."""
        profiles = self._fitted()
        weights = {"item_weights": self._weights, "average_scores": self._average}
        return {"weights": weights, "profiles": profiles.arrays()}

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        self._weights = groups["weights"]["item_weights"]
        self._average = groups["weights"]["average_scores"]
        self._profiles = from_arrays(groups["profiles"], len(self._average))

    def _check_size(self, num_items: int) -> None:
        if num_items <= self.config.max_items:
            return
        needed = _BYTES_PER_PAIR * num_items**2
        raise UsageError(
            f"ease of {num_items:,} items needs {needed:,} bytes of memory; max_items is "
            f"{self.config.max_items:,}.",
            hint=f"Pass --set max_items={num_items} if that fits, or train item_knn, which is sparse.",
        )

    def _fitted(self) -> SparseRows:
        if self._profiles is None:
            raise StoreError("this ease model is empty.", hint="Call fit or load_arrays first.")
        return self._profiles


def item_weights(profiles: SparseRows, reg: float) -> FloatArray:
    """B: (I, I) float32, row j column i: what having j says about i.

    Args:
        profiles: (U, I) X.
        reg: Above 0.

    Raises:
        UsageError: If ``reg`` is so small that the matrix cannot be inverted.
    """
    inverse = _upper_inverse(_gram(profiles), reg)  # (I, I)
    diagonal = inverse.diagonal().copy()
    weights = np.empty(inverse.shape, np.float32)
    for start in range(0, len(weights), _BLOCK):
        block = slice(start, start + _BLOCK)
        # One triangle is stored: the other half of these rows stands in the columns of the same numbers.
        weights[block] = (inverse[block] + inverse[:, block].T) / -diagonal
    np.fill_diagonal(weights, 0.0)
    return weights


def _gram(profiles: SparseRows) -> npt.NDArray[np.float64]:
    """XᵀX: (I, I), made some rows at a time, so that no sparse copy of it is ever in memory."""
    users_of = profiles.transposed()  # (I, U)
    gram = np.empty((len(users_of), len(users_of)), np.float64)
    for start in range(0, len(gram), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(gram)))
        gram[rows] = users_of.take(rows).times(profiles)
    return gram


def _upper_inverse(gram: npt.NDArray[np.float64], reg: float) -> npt.NDArray[np.float64]:
    """The upper triangle of (gram + reg · 1)⁻¹ in the memory of symmetric ``gram``; zeros below it."""
    gram[np.diag_indices_from(gram)] += reg
    factorize, invert = scipy.linalg.get_lapack_funcs(("potrf", "potri"), (gram,))
    factor, failed = factorize(gram.T, lower=False, clean=True, overwrite_a=True)
    if not failed:
        factor, failed = invert(factor, lower=False, overwrite_c=True)
    if failed:
        raise UsageError(f"with reg={reg:g} the items' matrix cannot be inverted.", hint="Pass a larger reg.")
    return factor

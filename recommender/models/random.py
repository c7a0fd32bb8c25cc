"""Random: a uniform number for every user and item. The floor of every evaluation.

The numbers are those of SplitMix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators",
OOPSLA 2014, figure 17) read at a place instead of in sequence:

    output(state, place) = mix(state + (place + 1) · gamma)
    score(u, i) = first 24 bits of output(output(seed, u), i), as a fraction

so a score depends on nothing but seed, user and item.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from featurestore.spec import Frozen
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, TrainingData
from recommender.features import NodeFeatures

_GAMMA: Final = 0x9E3779B97F4A7C15
_DIGIT_BITS: Final = 16
_NUM_DIGITS: Final = 4


class Config(Frozen):
    """Nothing to set."""


class Model:
    """score(u, i) is uniform in [0, 1)."""

    name: str = "random"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._seed = 0
        self._num_items: int | None = None

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`; nothing is learned but how many items there are."""
        del progress, checkpoint
        if features is not None:
            raise UsageError("random uses no item features.", hint="Leave --features out.")
        self._seed, self._num_items = seed % 2**64, data.num_items
        return FitReport()

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`. A user without training events is drawn for like any other."""
        num_items = self._fitted()
        states = outputs(np.array([self._seed], np.uint64), users.astype(np.uint64))  # (n,)
        drawn = outputs(states[:, None], np.arange(num_items, dtype=np.uint64))  # (n, I)
        return (drawn >> np.uint64(40)).astype(np.float32) / np.float32(2**24)

    def arrays(self) -> ArrayGroups:
        """Seed and number of items as digits of base 2^16, lowest first: float32 holds them exactly."""
        num_items = self._fitted()
        return {"weights": {"seed_digits": _digits(self._seed), "num_items_digits": _digits(num_items)}}

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        self._seed = _number(groups["weights"]["seed_digits"])
        self._num_items = _number(groups["weights"]["num_items_digits"])

    def _fitted(self) -> int:
        if self._num_items is None:
            raise StoreError("this random model is empty.", hint="Call fit or load_arrays first.")
        return self._num_items


def outputs(states: npt.NDArray[np.uint64], places: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 at ``places`` (from 0) of the sequences that begin at ``states``; they broadcast."""
    z = states + (places + np.uint64(1)) * np.uint64(_GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _digits(number: int) -> FloatArray:
    places = range(0, _NUM_DIGITS * _DIGIT_BITS, _DIGIT_BITS)
    return np.array([number >> place & (2**_DIGIT_BITS - 1) for place in places], np.float32)


def _number(digits: FloatArray) -> int:
    return sum(int(digit) << (place * _DIGIT_BITS) for place, digit in enumerate(digits))

"""Is one model better than another, or luckier? Paired bootstrap over users, Holm's correction over models.

Seeds are averaged first: users are what is drawn. Where one unit gives several values (prefixes of a
session), whole units are drawn, because its values are not independent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from recommender.data import IntArray
from recommender.metrics import Float64Array

NUM_DRAWS: Final = 10_000
_SEED: Final = 20240229
_CHUNK_VALUES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class PairedTest:
    """How sure the mean difference of two models over the same users is.

    Attributes:
        difference: The mean of ours minus theirs.
        low: 2.5 % point of that mean over resampled users.
        high: 97.5 % point.
        p_value: Two-sided, of no difference; before any correction.
        holm_p_value: After Holm's correction over all that are compared in one table.
    """

    difference: float
    low: float
    high: float
    p_value: float
    holm_p_value: float

    @property
    def mark(self) -> str:
        """``**`` below 0.01, ``*`` below 0.05 after correction, else nothing."""
        return "**" if self.holm_p_value < 0.01 else "*" if self.holm_p_value < 0.05 else ""


def paired_tests(
    ours: Mapping[str, Float64Array],
    theirs: Float64Array,
    *,
    units: IntArray | None = None,
    num_draws: int = NUM_DRAWS,
    seed: int = _SEED,
) -> dict[str, PairedTest]:
    """Compare models with one baseline, each by draws of its own from the same seed.

    Cost: at most ``num_draws`` times users, 16 MB at a time: seconds for 20,000 users and a model, less where
    few users differ.

    Args:
        ours: Model → (n,) float64 metric per user, seeds averaged.
        theirs: (n,) the baseline's, same users.
        units: (n,) int64, what each value belongs to; every value is a unit of its own if None.
        num_draws: Resamples.
        seed: Of the draws.

    Returns:
        Model → test. Without users every difference is 0 and every p value 1.
    """
    raw = {
        name: _paired_test(values - theirs, units, num_draws, np.random.default_rng(seed))
        for name, values in ours.items()
    }
    corrected = holm({name: test.p_value for name, test in raw.items()})
    return {
        name: PairedTest(test.difference, test.low, test.high, test.p_value, corrected[name])
        for name, test in raw.items()
    }


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction: the chance of any false finding stays below the level (Holm 1979)."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        highest = max(highest, min(1.0, p * (len(p_values) - place)))
        corrected[name] = highest
    return corrected


def _paired_test(
    difference: Float64Array, units: IntArray | None, num_draws: int, generator: np.random.Generator
) -> PairedTest:
    """One test: p = 2 min(P(mean ≤ 0), P(mean ≥ 0)) over draws, what was observed counted as one more.

    Few units all on one side leave every draw there, however few they are: p is at least the smallest that an
    exact test of m signs can reach, 2^(1 - m), m the units that differ.
    """
    if not len(difference):
        return PairedTest(0.0, 0.0, 0.0, 1.0, 1.0)
    if units is None:
        means = _means_of_users(difference, num_draws, generator)
    else:
        means = _means_of_units(difference, units, num_draws, generator)
    low, high = np.quantile(means, [0.025, 0.975])
    least = min(int((means <= 0).sum()), int((means >= 0).sum()))
    own = np.arange(len(difference)) if units is None else np.unique(units, return_inverse=True)[1]
    num_differing = np.count_nonzero(np.bincount(own, weights=np.abs(difference)))
    p_value = min(1.0, max(2 * (least + 1) / (num_draws + 1), 2.0 ** (1 - num_differing)))
    return PairedTest(float(difference.mean()), float(low), float(high), p_value, p_value)


def _means_of_users(difference: Float64Array, num_draws: int, generator: np.random.Generator) -> Float64Array:
    """(num_draws,) means over resampled users.

    How many of the n drawn users differ at all is binomial; only those need to be drawn, which are few where
    both models miss most held-out items.
    """
    values = difference[difference != 0]
    num_users = len(difference)
    counts = generator.binomial(num_users, len(values) / num_users, size=num_draws)
    means = np.zeros(num_draws)
    at_once = max(1, _CHUNK_VALUES // num_users)
    for start in range(0, num_draws, at_once):
        part = counts[start : start + at_once]
        drawn = values[generator.integers(max(len(values), 1), size=part.sum(), dtype=np.int32)]
        totals = np.add.reduceat(np.append(drawn, 0.0), np.cumsum(part) - part)
        means[start : start + at_once] = np.where(part > 0, totals, 0.0) / num_users
    return means


def _means_of_units(
    difference: Float64Array, units: IntArray, num_draws: int, generator: np.random.Generator
) -> Float64Array:
    """(num_draws,) means over the values of resampled units: sum over the drawn units by their sizes."""
    _, places, sizes = np.unique(units, return_inverse=True, return_counts=True)
    sums = np.bincount(places, weights=difference)
    means = np.empty(num_draws)
    at_once = max(1, _CHUNK_VALUES // len(sums))
    for start in range(0, num_draws, at_once):
        count = min(at_once, num_draws - start)
        drawn = generator.integers(len(sums), size=(count, len(sums)), dtype=np.int32)
        means[start : start + count] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means

"""One line of a comparison: what the seeds of a model reach together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.evaluation.labels import ModelCard
from recommender.evaluation.measurement import Measurement
from recommender.evaluation.significance import PairedTest
from recommender.evaluation.strata import Stratum
from recommender.metrics import Float64Array


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Test metrics of one configuration over its seeds.

    Attributes:
        name: What it is called, see `recommender.evaluation.labels`; ``popularity`` is the control.
        card: What it is.
        folders: Where its seeds lie; none of the control.
        seeds: Theirs.
        num_seeds: Models averaged.
        interrupted: Its training was stopped by a person before its end; of a single seed only.
        means: Metric → mean over users, then over seeds.
        deviations: Metric → sample standard deviation over seeds; None of a single seed.
        sampled: As ``means``, among sampled negatives; None without.
        sampled_deviations: As ``deviations``.
        lists: Measures of the lists, means over seeds.
        list_deviations: As ``deviations``.
        strata: Means over seeds.
        stratum_deviations: As ``deviations``, one of each of ``strata``.
        gain: 95 % interval of the gain in the compared metric over the baseline, by bootstrap over users;
            None of the baseline itself.
        test: The whole test; None of the baseline itself.
        mark: ``**``, ``*`` or nothing, after Holm's correction.
    """

    name: str
    card: ModelCard
    folders: tuple[str, ...]
    seeds: tuple[int, ...]
    num_seeds: int
    interrupted: bool
    means: dict[str, float]
    deviations: dict[str, float] | None
    sampled: dict[str, float] | None
    sampled_deviations: dict[str, float] | None
    lists: dict[str, float]
    list_deviations: dict[str, float] | None
    strata: tuple[Stratum, ...]
    stratum_deviations: tuple[dict[str, float] | None, ...]
    gain: tuple[float, float] | None
    test: PairedTest | None
    mark: str


def summarise(
    name: str,
    card: ModelCard,
    runs: Sequence[Measurement],
    *,
    folders: Sequence[str],
    seeds: Sequence[int],
    interrupted: bool,
    test: PairedTest | None,
) -> ModelResult:
    """The result of all seeds of a model, at least one."""
    means, deviations = _over_seeds([run.metrics.means() for run in runs])
    sampled, sampled_deviations = _over_seeds([run.sampled.means() for run in runs if run.sampled])
    lists, list_deviations = _over_seeds([run.lists for run in runs])
    parts = [_stratum_over_seeds(same) for same in zip(*(run.strata for run in runs), strict=True)]
    return ModelResult(
        name=name,
        card=card,
        folders=tuple(folders),
        seeds=tuple(seeds),
        num_seeds=len(runs),
        interrupted=interrupted,
        means=means,
        deviations=deviations,
        sampled=sampled or None,
        sampled_deviations=sampled_deviations,
        lists=lists,
        list_deviations=list_deviations,
        strata=tuple(mean for mean, _ in parts),
        stratum_deviations=tuple(deviations for _, deviations in parts),
        gain=(test.low, test.high) if test else None,
        test=test,
        mark=test.mark if test else "",
    )


def mean_per_user(runs: Sequence[Measurement]) -> dict[str, Float64Array]:
    """Metric → (n,) float64 of each user, averaged over seeds."""
    return {
        name: np.mean([run.metrics.per_user[name] for run in runs], axis=0)
        for name in runs[0].metrics.per_user
    }


def _over_seeds(values: Sequence[dict[str, float]]) -> tuple[dict[str, float], dict[str, float] | None]:
    if not values:
        return {}, None
    means = {name: float(np.mean([each[name] for each in values])) for name in values[0]}
    if len(values) == 1:
        return means, None
    return means, {name: float(np.std([each[name] for each in values], ddof=1)) for name in values[0]}


def _stratum_over_seeds(same: Sequence[Stratum]) -> tuple[Stratum, dict[str, float] | None]:
    first = same[0]
    means, deviations = _over_seeds([stratum.means for stratum in same])
    return Stratum(first.kind, first.label, first.num_users, first.num_pairs, means), deviations

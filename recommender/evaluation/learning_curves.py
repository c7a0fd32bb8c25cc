"""Learning curves of the models of a comparison, from their descriptions on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from recommender.evaluation.compare import Comparison
from recommender.evaluation.plots import Curve
from recommender.saved import SavedConfig, read_config

_USUAL_MONITOR: Final = "ndcg@10"


def learning_curves(report: Comparison) -> Mapping[str, list[Curve]]:
    """Validation metric → a curve of every seed that was validated while it trained.

    A curve's ``series`` is the place of its result in the report.

    Raises:
        StoreError: If a model's description has gone or is damaged.
    """
    curves: dict[str, list[Curve]] = {}
    for series, result in enumerate(report.results):
        for folder in result.folders:
            info = read_config(Path(folder))
            if points := _points(info):
                monitor = str(info.config.get("monitor", _USUAL_MONITOR))
                name = f"{result.name}, seed {info.seed}"
                curves.setdefault(monitor, []).append(Curve(name, series, points))
    return curves


def _points(info: SavedConfig) -> tuple[tuple[int, float], ...]:
    return tuple((record.epoch, record.metric) for record in info.history if record.metric is not None)

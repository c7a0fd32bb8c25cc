"""Saved models of one release side by side on its test part, popularity always among them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from featurestore.errors import MissingVersionError, UnknownNameError, UsageError
from featurestore.progress import Progress, no_progress
from featurestore.reader import FeatureStore, Release
from recommender.data import IntArray, load_training_data
from recommender.evaluation.labels import ModelCard, model_card
from recommender.evaluation.measurement import Measurement, Yardstick, load_yardstick, measure
from recommender.evaluation.model_groups import (
    POPULARITY,
    ModelGroup,
    baseline_name,
    group_models,
    group_names,
)
from recommender.evaluation.results import ModelResult, mean_per_user, summarise
from recommender.evaluation.significance import paired_tests
from recommender.evaluation.tasks import TaskName
from recommender.metrics import CUTOFFS, NAMES, Float64Array
from recommender.models import popularity
from recommender.saved import SavedConfig, SavedModel, check_binding, find_folders, load_model, read_config

COMPARED_BY: Final = "ndcg@10"


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """How to compare.

    Attributes:
        release: Alias or number; the first model's own release if None.
        task: See `recommender.evaluation.tasks.EvaluationTask`.
        num_negatives: Sampled negatives besides the full ranking; none if 0.
        baseline: ``popularity``, or a folder of a trained model, which is added if it is not compared.
        metric: What models are ordered and tested by.
    """

    release: str | None = None
    task: TaskName = "users"
    num_negatives: int = 0
    baseline: str = POPULARITY
    metric: str = COMPARED_BY


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of `compare_models`.

    Attributes:
        release: Number of the release.
        task: What was ranked.
        num_users: Users, or prefixes of sessions, that have held-out items.
        num_pairs: Test pairs ranked.
        num_repeats: Test events left out because the user had the item before.
        baseline: Name of the result that the others are tested against.
        metric: What results are ordered and tested by.
        attributes: What users are grouped by in the strata, beside their degree.
        negatives: Digest of the sampled lists; None without.
        results: The best first.
        user_rows: (n,) int64 user row of each value in ``per_user``.
        per_user: Name of a result → metric → (n,) float64, seeds averaged.
    """

    release: int
    task: TaskName
    num_users: int
    num_pairs: int
    num_repeats: int
    baseline: str
    metric: str
    attributes: tuple[str, ...]
    negatives: str | None
    results: tuple[ModelResult, ...]
    user_rows: IntArray
    per_user: dict[str, dict[str, Float64Array]]

    def as_dict(self) -> dict[str, Any]:
        """All but the values of single users, for JSON."""
        names = [name for name in self.__slots__ if name not in {"user_rows", "per_user", "results"}]
        return {name: getattr(self, name) for name in names} | {
            "results": [asdict(result) for result in self.results]
        }


def compare_models(
    store: FeatureStore,
    folders: Sequence[Path],
    request: ComparisonRequest | None = None,
    *,
    progress: Progress = no_progress,
) -> Comparison:
    """Evaluate saved models on the test part of the release they were fitted on.

    Models that differ in nothing but their seed are one result: mean and standard deviation. One whose
    training was interrupted is a result alone, and is called so.

    Args:
        store: Holds the release.
        folders: Models, or folders of seeds.
        request: How to compare.
        progress: Told about users ranked.

    Raises:
        StoreError: If a model is damaged, or was fitted on another release.
        InputError: If the release holds out no test events, or too few items for the negatives.
        UsageError: If the metric is unknown, or the folders are not to be compared: see
            `recommender.evaluation.model_groups.group_models`.
    """
    request = request or ComparisonRequest()
    _require_known_metric(request.metric)
    groups = group_models(folders, request.baseline)
    first = next(iter(groups.values()))[0][1]
    release = store.release(request.release or str(first.binding.release))
    for path, info in (pair for group in groups.values() for pair in group):
        check_binding(info, release, path)
    yardstick = load_yardstick(release, request.task, num_negatives=request.num_negatives)
    measured = _measure_all(release, groups, yardstick, progress)
    return _report(release, request, yardstick, measured, baseline_name(groups, request.baseline))


def open_saved(folder: Path, store: FeatureStore, release_name: str | None) -> tuple[SavedModel, Release]:
    """A model with the release it was fitted on.

    Raises:
        StoreError: If the folder holds no model, its release is gone, or ``release_name`` is another one.
        UsageError: If the folder holds several models.
    """
    paths = find_folders(folder)
    if len(paths) > 1:
        listed = ", ".join(str(path) for path in paths)
        raise UsageError(f"{folder} holds several models, name one: {listed}.")
    info = read_config(paths[0])
    try:
        release = store.release(release_name or str(info.binding.release))
    except MissingVersionError as error:
        if release_name is not None:
            raise
        hint = f"Train {info.model} again, on a release that is there."
        raise MissingVersionError(error.message, hint=hint) from error
    check_binding(info, release, paths[0])
    return load_model(paths[0]), release


@dataclass(frozen=True, slots=True)
class _Measured:
    name: str
    card: ModelCard
    paths: tuple[Path, ...]
    infos: tuple[SavedConfig, ...]
    runs: tuple[Measurement, ...]


def _require_known_metric(metric: str) -> None:
    known = [f"{name}@{k}" for name in NAMES for k in CUTOFFS]
    if metric not in known:
        raise UnknownNameError("metric", metric, known)


def _measure_all(
    release: Release, groups: Mapping[str, ModelGroup], yardstick: Yardstick, progress: Progress
) -> list[_Measured]:
    control = popularity.Model(popularity.Config())
    control.fit(load_training_data(release), features=None, seed=0, progress=no_progress)
    run = measure(control, yardstick, progress=progress)
    measured = [_Measured(POPULARITY, ModelCard(POPULARITY), (), (), (run,))]
    names = group_names(groups)
    for key, group in groups.items():
        runs = tuple(measure(load_model(path).model, yardstick, progress=progress) for path, _ in group)
        paths, infos = zip(*group, strict=True)
        measured.append(_Measured(names[key], model_card(infos[0]), paths, infos, runs))
    return measured


def _report(
    release: Release,
    request: ComparisonRequest,
    yardstick: Yardstick,
    measured: Sequence[_Measured],
    baseline: str,
) -> Comparison:
    rows = measured[0].runs[0].metrics.users
    per_user = {each.name: mean_per_user(each.runs) for each in measured}
    values = {name: metrics[request.metric] for name, metrics in per_user.items()}
    theirs = values.pop(baseline)
    tests = paired_tests(values, theirs, units=yardstick.task.units(rows))
    results = [
        summarise(
            each.name,
            each.card,
            each.runs,
            folders=[str(path) for path in each.paths],
            seeds=[info.seed for info in each.infos],
            interrupted=any(info.interrupted for info in each.infos),
            test=tests.get(each.name),
        )
        for each in measured
    ]
    results.sort(key=lambda result: -result.means[request.metric])
    held_out = yardstick.task.held_out
    return Comparison(
        release=release.number,
        task=request.task,
        num_users=len(rows),
        num_pairs=len(held_out),
        num_repeats=held_out.num_repeats,
        baseline=baseline,
        metric=request.metric,
        attributes=yardstick.attributes,
        negatives=yardstick.negatives.digest if yardstick.negatives else None,
        results=tuple(results),
        user_rows=yardstick.task.owners[rows],
        per_user=per_user,
    )

"""Test metrics of saved models side by side, popularity always among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featurestore.errors import UsageError
from featurestore.progress import Progress, no_progress
from featurestore.reader import FeatureStore, Release
from recommender.data import load_test_data, load_training_data
from recommender.evaluate import evaluate_ranking
from recommender.metrics import Float64Array, RankingMetrics, paired_interval
from recommender.models import popularity
from recommender.saved import SavedModel, check_binding, find_folders, load_model, read_config

COMPARED_BY = "ndcg@10"
_BOOTSTRAP_SEED = 20240229


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Test metrics of one configuration over its seeds.

    Attributes:
        name: Folder, or ``popularity``.
        num_seeds: Models averaged.
        means: Metric → mean over users, then over seeds.
        deviations: Metric → sample standard deviation over seeds; None of a single seed.
        gain: 95 % interval of the NDCG@10 gain over popularity, by bootstrap over users; None of itself.
    """

    name: str
    num_seeds: int
    means: dict[str, float]
    deviations: dict[str, float] | None
    gain: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of `compare_models`.

    Attributes:
        release: Number of the release.
        num_users: Users with test events that are new to them.
        num_pairs: Test pairs ranked.
        num_repeats: Test events left out because the user had the item before.
        results: Best NDCG@10 first.
    """

    release: int
    num_users: int
    num_pairs: int
    num_repeats: int
    results: tuple[ModelResult, ...]


def compare_models(
    store: FeatureStore,
    folders: Sequence[Path],
    *,
    release_name: str | None = None,
    progress: Progress = no_progress,
) -> Comparison:
    """Evaluate saved models on the test part of the release they were fitted on.

    Models that differ in nothing but their seed are one line: mean and standard deviation.

    Args:
        store: Holds the release.
        folders: Models, or folders of seeds.
        release_name: Alias or number; the first model's own release if None.
        progress: Told about users ranked.

    Raises:
        StoreError: If a model is damaged, or was fitted on another release.
        InputError: If the release holds out no test events.
        UsageError: If no folder is given.
    """
    if not folders:
        raise UsageError("name at least one folder of a trained model.")
    paths = [(folder, path) for folder in folders for path in find_folders(folder)]
    release = store.release(release_name or str(read_config(paths[0][1]).binding.release))
    for _, path in paths:
        check_binding(read_config(path), release)
    held_out = load_test_data(release)
    control = _popularity_metrics(release, progress)
    groups: dict[str, list[RankingMetrics]] = {}
    names: dict[str, str] = {}
    for folder, path in paths:
        saved = load_model(path)
        key = saved.info.config_digest
        names.setdefault(key, str(folder))
        metrics = evaluate_ranking(saved.model.score, held_out, progress=progress)
        groups.setdefault(key, []).append(metrics)
    results = [_result("popularity", [control], None)]
    results += [_result(names[key], runs, control) for key, runs in groups.items()]
    results.sort(key=lambda result: -result.means[COMPARED_BY])
    return Comparison(release.number, len(control.users), len(held_out), held_out.num_repeats, tuple(results))


def open_saved(folder: Path, store: FeatureStore, release_name: str | None) -> tuple[SavedModel, Release]:
    """A model with the release it was fitted on.

    Raises:
        StoreError: If the folder holds no model, or ``release_name`` is another release.
        UsageError: If the folder holds several models.
    """
    paths = find_folders(folder)
    if len(paths) > 1:
        listed = ", ".join(str(path) for path in paths)
        raise UsageError(f"{folder} holds several models, name one: {listed}.")
    info = read_config(paths[0])
    release = store.release(release_name or str(info.binding.release))
    check_binding(info, release)
    return load_model(paths[0]), release


def _popularity_metrics(release: Release, progress: Progress) -> RankingMetrics:
    model = popularity.Model(popularity.Config())
    model.fit(load_training_data(release), features=None, seed=0, progress=no_progress)
    return evaluate_ranking(model.score, load_test_data(release), progress=progress)


def _result(name: str, runs: Sequence[RankingMetrics], control: RankingMetrics | None) -> ModelResult:
    values = {metric: [run.means()[metric] for run in runs] for metric in runs[0].per_user}
    gain = None
    if control is not None:
        ours: Float64Array = np.mean([run.per_user[COMPARED_BY] for run in runs], axis=0)
        generator = np.random.default_rng(_BOOTSTRAP_SEED)
        gain = paired_interval(ours, control.per_user[COMPARED_BY], generator)
    deviations = {metric: float(np.std(v, ddof=1)) for metric, v in values.items()} if len(runs) > 1 else None
    means = {metric: float(np.mean(v)) for metric, v in values.items()}
    return ModelResult(name, len(runs), means, deviations, gain)

"""Train from a release, one saved model per seed; popularity is measured beside every one."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from featurestore.spec import Frozen
from recommender.base import FitReport, Recommender
from recommender.data import TrainingData, load_training_data
from recommender.evaluate import evaluate_ranking
from recommender.features import Control, ItemFeatures, item_features
from recommender.models import popularity
from recommender.registry import find_model, parse_settings
from recommender.saved import Binding, SavedConfig, bind, config_json, save_model


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train.

    Attributes:
        model: Name of a model.
        settings: Its settings as text; defaults for the rest.
        feature: Vector feature of items, or None for plain ID embeddings.
        view: View of it; the release's default view if None.
        fallback: Feature for items without a vector.
        control: What to do to the vectors first.
        seeds: One model is trained per seed.
        num_threads: Threads of torch; None leaves it to torch.
        optimistic_validation: Take features that read validation events: the validation metrics are too good
            then, and what they choose may be wrong.
    """

    model: str
    settings: dict[str, str] = field(default_factory=dict[str, str])
    feature: str | None = None
    view: str | None = None
    fallback: str | None = None
    control: Control = "none"
    seeds: tuple[int, ...] = (0,)
    num_threads: int | None = None
    optimistic_validation: bool = False


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """One trained and saved model.

    Attributes:
        folder: Where it lies.
        seed: Its seed.
        fit: How training went.
        validation: Metrics of the kept weights on the validation part; empty without one.
    """

    folder: Path
    seed: int
    fit: FitReport
    validation: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrainReport:
    """All models of one request.

    Attributes:
        models: One per seed; fewer if training was interrupted.
        popularity: Validation metrics of the control.
        num_train: Training pairs.
        num_valid: Validation pairs.
        num_with_vector: Items that have a vector; None without features.
        interrupted: Ctrl-C ended training; what is listed is saved.
    """

    models: tuple[TrainedModel, ...]
    popularity: dict[str, float]
    num_train: int
    num_valid: int
    num_with_vector: int | None
    interrupted: bool


def train_models(
    release: Release, request: TrainRequest, folder: Path, *, progress: Progress = no_progress
) -> TrainReport:
    """Train a model on a release, once per seed, and save each.

    Args:
        release: An opened release; its test part is not read.
        request: What to train.
        folder: Where to save; with several seeds, in ``seed-<n>`` folders in it.
        progress: Told about epochs.

    Raises:
        UnknownNameError: If the model, a setting or a feature is unknown.
        UsageError: If a setting's value does not fit, or the model uses no item features.
        InputError: If the release has nothing to train on.
        EmbeddingSpaceError: If feature and fallback were made by different encoders.
        LeakError: If the features read events that the release holds out.
    """
    if request.num_threads is not None:
        torch.set_num_threads(request.num_threads)
    entry = find_model(request.model)
    config = parse_settings(entry.config_type, request.settings)
    data = load_training_data(release)
    trained: list[TrainedModel] = []
    num_with_vector = None
    for seed in request.seeds:
        features = load_features(release, request, seed)
        num_with_vector = int(features.has_vector.sum()) if features else None
        model = entry.model_type(config)
        fit = model.fit(data, features=features, seed=seed, progress=progress)
        place = folder / f"seed-{seed}" if len(request.seeds) > 1 else folder
        info = _describe(request, config, seed, bind(release, features))
        trained.append(_save(place, model, fit, info, data))
        if fit.interrupted:
            break
    return TrainReport(
        models=tuple(trained),
        popularity=validation_metrics(_popularity(data), data),
        num_train=len(data.train_users),
        num_valid=len(data.valid),
        num_with_vector=num_with_vector,
        interrupted=trained[-1].fit.interrupted,
    )


def load_features(release: Release, request: TrainRequest, seed: int) -> ItemFeatures | None:
    """The item features a request asks for; a control is drawn anew for every seed."""
    if request.feature is None:
        return None
    return item_features(
        release,
        request.feature,
        view=request.view,
        fallback=request.fallback,
        control=request.control,
        seed=seed,
        optimistic_validation=request.optimistic_validation,
    )


def validation_metrics(model: Recommender, data: TrainingData) -> dict[str, float]:
    """Mean metrics on the validation part; empty if there is none."""
    return evaluate_ranking(model.score, data.valid).means() if len(data.valid) else {}


def _popularity(data: TrainingData) -> Recommender:
    model = popularity.Model(popularity.Config())
    model.fit(data, features=None, seed=0, progress=no_progress)
    return model


def _describe(request: TrainRequest, config: Frozen, seed: int, binding: Binding) -> SavedConfig:
    view = f".{request.view}" if request.view else ""
    return SavedConfig(
        model=request.model,
        config=config_json(config),
        seed=seed,
        feature=f"{request.feature}{view}" if request.feature else None,
        fallback=request.fallback,
        control=request.control,
        optimistic_validation=request.optimistic_validation,
        binding=binding,
        files={},
    )


def _save(
    folder: Path, model: Recommender, fit: FitReport, info: SavedConfig, data: TrainingData
) -> TrainedModel:
    validation = validation_metrics(model, data)
    info = info.model_copy(update={"best_epoch": fit.best_epoch, "validation": validation})
    save_model(folder, model, info)
    return TrainedModel(folder, info.seed, fit, validation)

"""Train from a release, one saved model per seed; popularity is measured beside every one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch

from featurestore.errors import UsageError
from featurestore.ids import digest, digest_bytes
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from featurestore.spec import Frozen
from recommender.base import FitReport, Recommender
from recommender.checkpoint import CheckpointFile
from recommender.data import TrainingData, load_training_data
from recommender.evaluate import evaluate_ranking
from recommender.features import Control, NodeFeatures, entity_features
from recommender.models import popularity
from recommender.registry import find_model, parse_settings
from recommender.saved import (
    CONFIG_FILE,
    Binding,
    SavedConfig,
    bind,
    config_json,
    read_config,
    require_no_single_model,
    require_replaceable,
    save_model,
)


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train.

    Attributes:
        model: Name of a model.
        settings: Its settings as text; defaults for the rest.
        feature: Vector feature of items, or None for plain ID embeddings.
        view: View of it; the release's default view if None.
        fallback: Feature for items without a vector.
        user_feature: Vector feature of users, or None; its view follows a dot, if it is to be named.
        control: What to do to the vectors first.
        seeds: One model is trained per seed.
        num_threads: Threads of torch; None leaves it to torch.
        optimistic_validation: Take features that read validation events: the validation metrics are too good
            then, and what they choose may be wrong.
        resume: Go on from where an interrupted training of the same request stopped.
    """

    model: str
    settings: dict[str, str] = field(default_factory=dict[str, str])
    feature: str | None = None
    view: str | None = None
    fallback: str | None = None
    user_feature: str | None = None
    control: Control = "none"
    seeds: tuple[int, ...] = (0,)
    num_threads: int | None = None
    optimistic_validation: bool = False
    resume: bool = False


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
        num_with_vector: Items, or users, that have a vector; None without features.
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
        UsageError: If a setting's value does not fit, the model uses no item features, or a control of them
            could change nothing.
        InputError: If the release has nothing to train on.
        EmbeddingSpaceError: If feature and fallback were made by different encoders.
        LeakError: If the features read events that the release holds out.
        StoreError: If a checkpoint to go on from is damaged.
    """
    if request.num_threads is not None:
        torch.set_num_threads(request.num_threads)
    entry = find_model(request.model)
    config = parse_settings(entry.config_type, request.settings)
    _require_control_is_read(request, config)
    data = load_training_data(release)
    trained: list[TrainedModel] = []
    num_with_vector = None
    for seed, place in _places(folder, request.seeds).items():
        features = load_features(release, request, seed)
        num_with_vector = _count_vectors(features)
        info = _describe(request, config, seed, bind(release, features))
        if request.resume and (finished := _finished(place, info)) is not None:
            trained.append(finished)
            continue
        model = entry.model_type(config)
        checkpoint = _checkpoint(place, info, resume=request.resume)
        fit = model.fit(data, features=features, seed=seed, progress=progress, checkpoint=checkpoint)
        trained.append(_save(place, model, fit, info, data))
        if fit.interrupted:
            break
        checkpoint.discard()
    return TrainReport(
        models=tuple(trained),
        popularity=validation_metrics(_popularity(data), data),
        num_train=len(data.train_users),
        num_valid=len(data.valid),
        num_with_vector=num_with_vector,
        interrupted=trained[-1].fit.interrupted,
    )


def _require_control_is_read(request: TrainRequest, config: Frozen) -> None:
    if request.control != "none" and not getattr(config, "reads_vectors", True):
        raise UsageError(
            f"with fusion=none {request.model} reads no vectors, and --features-control {request.control} "
            "would train the model without features under another name.",
            hint="Leave the control out, or choose another --fusion.",
        )


def load_features(release: Release, request: TrainRequest, seed: int) -> NodeFeatures | None:
    """The vectors that a request asks for; a control is drawn anew for every seed."""
    if request.feature is None and request.user_feature is None:
        return None
    items = users = None
    if request.feature is not None:
        items = entity_features(
            release,
            "item",
            request.feature,
            view=request.view,
            fallback=request.fallback,
            control=request.control,
            seed=seed,
            optimistic_validation=request.optimistic_validation,
        )
    if request.user_feature is not None:
        feature, _, view = request.user_feature.partition(".")
        users = entity_features(
            release,
            "user",
            feature,
            view=view or None,
            control=request.control,
            seed=seed,
            optimistic_validation=request.optimistic_validation,
        )
    return NodeFeatures(items, users)


def validation_metrics(model: Recommender, data: TrainingData) -> dict[str, float]:
    """Mean metrics on the validation part; empty if there is none."""
    return evaluate_ranking(model.score, data.valid).means() if len(data.valid) else {}


def _popularity(data: TrainingData) -> Recommender:
    model = popularity.Model(popularity.Config())
    model.fit(data, features=None, seed=0, progress=no_progress)
    return model


def _places(folder: Path, seeds: Sequence[int]) -> dict[int, Path]:
    """Seed → the folder of its model, after a look at whether all of them may be written.

    Raises:
        UsageError: If one may not.
    """
    if len(seeds) == 1:
        places = {seeds[0]: folder}
    else:
        require_no_single_model(folder)
        places = {seed: folder / f"seed-{seed}" for seed in seeds}
    for place in places.values():
        require_replaceable(place)
    return places


def _finished(folder: Path, info: SavedConfig) -> TrainedModel | None:
    """The model that a request resumed asks for, if it was trained to its end before."""
    if not (folder / CONFIG_FILE).exists():
        return None
    saved = read_config(folder)
    if saved.interrupted or (saved.config_digest, saved.seed) != (info.config_digest, info.seed):
        return None
    epochs = saved.history[-1].epoch if saved.history else 0
    fit = FitReport(epochs=epochs, best_epoch=saved.best_epoch, history=saved.history)
    return TrainedModel(folder, saved.seed, fit, saved.validation)


def _count_vectors(features: NodeFeatures | None) -> int | None:
    if features is None:
        return None
    side = features.items or features.users
    return int(side.has_vector.sum()) if side else None


def _checkpoint(folder: Path, info: SavedConfig, *, resume: bool) -> CheckpointFile:
    """Beside the model's folder, which is replaced as a whole once training has ended."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    identity = digest([info.config_digest, info.seed, version("cot-featurestore")])
    file = CheckpointFile(folder.with_name(f".{folder.name}.checkpoint.safetensors"), identity)
    if not resume:
        file.discard()
    return file


def _inputs(config: Frozen) -> dict[str, str]:
    """Digest of each file that settings name: a name says nothing of what was written to it since."""
    paths: tuple[Path, ...] = getattr(config, "files_read", ())
    return {str(path): digest_bytes(path.read_bytes()) for path in paths if path.is_file()}


def _describe(request: TrainRequest, config: Frozen, seed: int, binding: Binding) -> SavedConfig:
    view = f".{request.view}" if request.view else ""
    return SavedConfig(
        model=request.model,
        config=config_json(config),
        seed=seed,
        feature=f"{request.feature}{view}" if request.feature else None,
        fallback=request.fallback,
        user_feature=request.user_feature,
        control=request.control,
        optimistic_validation=request.optimistic_validation,
        inputs=_inputs(config),
        binding=binding,
        files={},
    )


def _save(
    folder: Path, model: Recommender, fit: FitReport, info: SavedConfig, data: TrainingData
) -> TrainedModel:
    validation = validation_metrics(model, data)
    info = info.model_copy(
        update={
            "best_epoch": fit.best_epoch,
            "validation": validation,
            "history": fit.history,
            "interrupted": fit.interrupted,
        }
    )
    save_model(folder, model, info)
    return TrainedModel(folder, info.seed, fit, validation)

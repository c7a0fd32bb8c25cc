"""Train a system of `recommender.generative.config` on a release and save it, or take it as it was saved.

What is saved was trained to its end: Ctrl-C leaves no model, but a checkpoint beside the model's folder, from
which the same request goes on. Test events are never read.
"""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featurestore import columns as c
from featurestore.errors import (
    InputError,
    LeakError,
    MissingIdsError,
    SetupError,
    UnknownNameError,
    UsageError,
)
from featurestore.ids import RowArray, digest, digest_bytes
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from recommender.base import FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import (
    FloatArray,
    IntArray,
    load_histories,
    load_seen,
    load_training_data,
)
from recommender.experiment import TrainRequest, load_features
from recommender.features import NodeFeatures
from recommender.generative.config import SYSTEMS, GenerativeConfig
from recommender.generative.job import WritesLists
from recommender.generative.means import list_means
from recommender.generative.model import GenerativeModel
from recommender.generative.saved import SavedGenerative, load_generative, read_info, save_generative
from recommender.generative.tokens import digits_of, shuffled_numbers
from recommender.registry import parse_settings
from recommender.saved import CONFIG_FILE, bind, require_replaceable


@dataclass(frozen=True, slots=True)
class TrainedSystem:
    """A model and its description.

    Attributes:
        model: Asked for lists.
        info: As it is saved, with what validation gave.
        is_new: It was trained now; otherwise it was found.
    """

    model: GenerativeModel
    info: SavedGenerative
    is_new: bool


def find_system(name: str) -> dict[str, str]:
    """What a published system sets, as text.

    Raises:
        UnknownNameError: Listing the systems there are.
    """
    if name not in SYSTEMS:
        raise UnknownNameError("system", name, SYSTEMS)
    return SYSTEMS[name]


def system_config(system: str, settings: dict[str, str]) -> GenerativeConfig:
    """All settings: the system's, and others in their place.

    Raises:
        UnknownNameError: If the system or a setting is unknown.
        UsageError: If a value does not fit.
    """
    config = parse_settings(GenerativeConfig, find_system(system) | settings)
    assert isinstance(config, GenerativeConfig)
    return config


def train_system(
    release: Release,
    request: TrainRequest,
    folder: Path,
    *,
    semantic_ids: str | None = None,
    progress: Progress = no_progress,
) -> TrainedSystem:
    """Train and save; a request that is resumed goes on from its checkpoint, or takes its saved model.

    Args:
        release: An opened release; its test part is not read.
        request: Its model is the name of a system; of its seeds the first is trained.
        folder: Where to save. Without ``resume`` another model of this form is replaced.
        semantic_ids: Vector feature whose semantic ids name items, with ``tokens=codes``.
        progress: Told about epochs.

    Raises:
        KeyboardInterrupt: If a person stopped it; the checkpoint of its last validation stays.
        UnknownNameError: If the system, a setting or a feature is unknown.
        UsageError: If settings and features do not fit each other, or what is to be resumed is another's.
        InputError: If the release has nothing to train on, or nothing to validate by.
        LeakError: If a feature read events that the release holds out.
        SetupError: If an item has no semantic id.
        StoreError: If what is to be resumed is damaged, or of another release.
    """
    if request.num_threads is not None:
        torch.set_num_threads(request.num_threads)
    config, seed = system_config(request.model, request.settings), request.seeds[0]
    _check_features(config, request, semantic_ids)
    require_replaceable(folder)
    if (folder / CONFIG_FILE).exists():
        read_info(folder)
    data = load_training_data(release)
    if not len(data.valid):
        raise InputError(
            f"release {release.number} has no validation events, by which epochs are chosen.",
            hint="Ingest with a split that holds some out, such as leave_one_out.",
        )
    digits, features = _read(release, request, config, semantic_ids)
    info = SavedGenerative(config=config, seed=seed, binding=bind(release, features), fit=FitReport())
    if request.resume and (folder / CONFIG_FILE).exists():
        return _found(folder, release, info, digits)
    checkpoint = _checkpoint(folder, info, digits, resume=request.resume)
    model = GenerativeModel(config, digits)
    fit = model.fit(data, features=features, seed=seed, progress=progress, checkpoint=checkpoint)
    if fit.interrupted:
        raise KeyboardInterrupt
    validation = list_means(model, data.histories, data.valid)
    info = info.model_copy(update={"fit": fit, "validation": validation})
    save_generative(folder, model, info)
    checkpoint.discard()
    return TrainedSystem(model, info, is_new=True)


def item_digits(config: GenerativeConfig, release: Release, semantic_ids: str | None, seed: int) -> IntArray:
    """(I, w) int64 names of items that read no held-out event.

    Args:
        config: Says which names.
        release: Gives items, and their codes.
        semantic_ids: Vector feature that codes are of; its view follows a dot, if it is to be named.
        seed: Of shuffled numbers.

    Raises:
        UsageError: If codes of no feature are asked for, or numbers along whole histories.
        LeakError: If codes read events that the release holds out.
        SetupError: If an item has no semantic id.
    """
    items = release.id_map("item").ids
    if config.tokens == "shuffled":
        return digits_of(shuffled_numbers(len(items), seed), config.num_digits)
    if config.tokens == "sequential":
        raise UsageError(
            "tokens=sequential numbers items along whole histories, which gives test items away.",
            hint="Name items by tokens=shuffled or tokens=codes; what the leak is worth was measured by "
            "scripts/generative.py.",
        )
    if semantic_ids is None:
        raise UsageError(
            "tokens=codes names items by semantic ids, and none were named.",
            hint="Give the vector feature that they are of: --semantic-ids FEATURE.",
        )
    feature, _, view = semantic_ids.partition(".")
    try:
        return release.semantic_ids(feature, view or None).rows(items).astype(np.int64)
    except MissingIdsError as error:
        raise SetupError(
            error.message, hint="Items without a vector have no semantic id; embed all of them."
        ) from error


def served_lists(model: GenerativeModel, release: Release, top_k: int) -> WritesLists:
    """Lists as they are served: asked after training and validation events, which are not listed again."""
    histories, seen = load_histories(release, c.TRAIN, c.VALID), load_seen(release)

    def lists(users: RowArray) -> tuple[IntArray, FloatArray]:
        return model.lists(users, histories, seen, top_k)

    return lists


def _check_features(config: GenerativeConfig, request: TrainRequest, semantic_ids: str | None) -> None:
    system, compares = request.model, config.has_groups and config.user_graph == "features"
    has_texts = config.word_embeddings == "graph" and config.fusion != "none"
    reads_items = has_texts or (compares and request.user_feature is None)
    if reads_items and request.feature is None:
        without = "--set fusion=none" + (" --set user_graph=interactions" if compares else "")
        raise UsageError(
            f"{system} with these settings reads vectors of items, and --features names none.",
            hint=f"List the features of the release with: featurestore ls. Without any: {without}",
        )
    unread = {
        "--features": request.feature if not reads_items else None,
        "--user-features": request.user_feature if not compares else None,
        "--semantic-ids": semantic_ids if config.tokens != "codes" else None,
    }
    for option, name in unread.items():
        if name is not None:
            raise UsageError(
                f"{system} with these settings reads nothing of {option} {name}.",
                hint=f"Leave {option} out, or set what reads it: --list-settings shows all settings.",
            )


def _read(
    release: Release, request: TrainRequest, config: GenerativeConfig, semantic_ids: str | None
) -> tuple[IntArray, NodeFeatures | None]:
    seed = request.seeds[0]
    try:
        return item_digits(config, release, semantic_ids, seed), load_features(release, request, seed)
    except LeakError as error:
        raise LeakError(error.message, hint="Make it from training events, and publish again.") from error


def _checkpoint(folder: Path, info: SavedGenerative, digits: IntArray, *, resume: bool) -> CheckpointFile:
    folder.parent.mkdir(parents=True, exist_ok=True)
    names, product = digest_bytes(np.ascontiguousarray(digits).tobytes()), version("cot-featurestore")
    identity = digest([*_identity(info).items(), info.binding.model_dump(mode="json"), names, product])
    file = CheckpointFile(folder.with_name(f".{folder.name}.checkpoint.safetensors"), identity)
    if not resume:
        file.discard()
    return file


def _found(folder: Path, release: Release, wanted: SavedGenerative, digits: IntArray) -> TrainedSystem:
    """The saved model, if it is the one that is wanted."""
    model, info = load_generative(folder, release)
    was, now = _identity(info), _identity(wanted)
    differing = [f"{name} {was[name]!r}, here {now[name]!r}" for name in now if was[name] != now[name]]
    if not np.array_equal(model.arrays()["names"]["item_digits"], digits):
        differing.append("other names of items")
    if differing:
        raise UsageError(
            f"the model in {folder} was trained otherwise: {'; '.join(differing)}.",
            hint="Ask for it as it was trained, or train another in its place (without --resume and --lists) "
            "or elsewhere (--output).",
        )
    return TrainedSystem(model, info, is_new=False)


def _identity(info: SavedGenerative) -> dict[str, Any]:
    vectors = list(info.binding.spec_digests)
    return {**info.config.model_dump(mode="json"), "seed": info.seed, "vectors of specs": vectors}

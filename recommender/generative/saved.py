"""A generative model on disk: ``config.json`` beside safetensors files, bound to a release."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import Field, ValidationError
from safetensors.numpy import load_file, save_file

from featurestore.errors import StoreError
from featurestore.ids import digest_bytes
from featurestore.reader import Release
from featurestore.spec import Frozen
from recommender.base import ArrayGroups, FitReport
from recommender.generative.config import GenerativeConfig
from recommender.generative.model import GenerativeModel
from recommender.generative.pretrained import Pretrained
from recommender.saved import CONFIG_FILE, Binding, bind, require_replaceable

_SUFFIX: Final = ".safetensors"
_GROUPS: Final = ("weights", "names")


class SavedGenerative(Frozen):
    """The content of ``config.json``."""

    format_version: int = 1
    config: GenerativeConfig
    seed: int
    binding: Binding
    fit: FitReport
    num_parameters: int = 0
    """Numbers that learned."""
    validation: dict[str, float] = Field(default_factory=dict[str, float])
    """Metrics of lists on the whole validation part, if they were measured."""
    pretrained: Pretrained | None = None
    """Of the T5 that it began with, if it began with one."""
    files: dict[str, str] = Field(default_factory=dict[str, str])
    """File name → digest of its bytes."""


def save_generative(folder: Path, model: GenerativeModel, info: SavedGenerative) -> None:
    """Write a model; an older one in the same folder is replaced as a whole.

    Args:
        folder: Made if need be.
        model: A fitted model.
        info: Its description; ``files``, ``num_parameters`` and ``pretrained`` are filled in here.

    Raises:
        UsageError: If the folder holds something that is no saved model.
    """
    require_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        files: dict[str, str] = {}
        for group, arrays in model.arrays().items():
            path = scratch / f"{group}{_SUFFIX}"
            save_file(arrays, path)
            files[path.name] = digest_bytes(path.read_bytes())
        known = {"num_parameters": model.num_parameters, "pretrained": model.pretrained}
        info = info.model_copy(update={"files": files, **known})
        (scratch / CONFIG_FILE).write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
        scratch.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load_generative(folder: Path, release: Release) -> tuple[GenerativeModel, SavedGenerative]:
    """A model that `save_generative` wrote, for the release that it was fitted on.

    Nothing else is read: not the folder of the T5 that it began with.

    Raises:
        StoreError: If there is none, a file is damaged, or the model belongs to another release; or if it
            began with a T5 before its configuration was saved, too.
    """
    info = read_info(folder)
    ours, theirs = info.binding, bind(release, None)
    names = ("release", "release_digest", "num_users", "num_items", "user_ids", "item_ids")
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in names]
    differing = [f"{name} {own!r}, here {other!r}" for name, own, other in pairs if own != other]
    if differing:
        raise StoreError(
            f"the model in {folder} was fitted on release {ours.release} and reads no other: "
            f"{'; '.join(differing)}.",
            hint="Open that release, or train again on this one.",
        )
    groups = _read_groups(folder, info.files)
    model = GenerativeModel(info.config, groups["names"]["item_digits"].astype(np.int64))
    model.load_arrays(groups, info.pretrained)
    model.num_parameters = info.num_parameters
    return model, info


def _read_groups(folder: Path, files: Mapping[str, str]) -> ArrayGroups:
    groups: ArrayGroups = {}
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or digest_bytes(path.read_bytes()) != expected:
            raise StoreError(f"{path} is damaged or gone.", hint="Restore the folder, or train again.")
        groups[path.stem] = load_file(path)
    absent = [f"{group}{_SUFFIX}" for group in _GROUPS if group not in groups]
    if absent:
        raise StoreError(
            f"{folder / CONFIG_FILE} does not name {' and '.join(absent)}, which every generative model has.",
            hint="Train the model again, or restore its folder.",
        )
    return groups


def read_info(folder: Path) -> SavedGenerative:
    """A saved model's description.

    Raises:
        StoreError: If there is none, or it is none of a generative model.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise StoreError(f"{folder} holds no model.", hint="Train one first.")
    try:
        return SavedGenerative.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StoreError(
            f"{path} is no description of a generative model: {error.errors()[0]['msg']}.",
            hint="Train the model again, or restore its folder.",
        ) from error

"""A trained model on disk: ``config.json`` beside safetensors files, bound to the release it was fitted on.

config.json           model, settings, seed, binding, digests of the other files; written last
weights.safetensors   vectors and parameters
pca.safetensors       the frozen projection, if the model has one
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer
from safetensors.numpy import load_file, save_file

from featurestore.errors import StoreError, UsageError
from featurestore.ids import canonical_json, digest, digest_bytes, digest_texts
from featurestore.reader import Release
from featurestore.spec import Frozen
from recommender.base import ArrayGroups, EpochRecord, Recommender
from recommender.features import Control, NodeFeatures
from recommender.registry import find_model

CONFIG_FILE = "config.json"
_SUFFIX = ".safetensors"


class Binding(Frozen):
    """What a model was fitted on. It reads no other release: rows or vectors could mean something else."""

    release: int
    """Number of the release."""
    release_digest: str
    """Digest of its manifest."""
    num_users: int
    num_items: int
    user_ids: str
    """Digest of the user id map."""
    item_ids: str
    spec_digests: tuple[str, ...] = ()
    """Vector specs that went in: the items' feature's, its fallback's, the users' feature's."""


class SavedConfig(Frozen):
    """The content of ``config.json``."""

    format_version: int = 1
    model: str
    config: dict[str, Any]
    seed: int
    feature: str | None = None
    """``item_cot.fused``, or None without item features."""
    fallback: str | None = None
    user_feature: str | None = None
    """``user_cot.fused``, or None without user features."""
    control: Control = "none"
    optimistic_validation: bool = False
    """Features that read validation events were taken: ``validation`` is too good to compare by."""
    inputs: dict[str, str] = Field(default_factory=dict[str, str])
    """File that a setting names → digest of the bytes that were read; not written down if there are none."""
    binding: Binding
    files: dict[str, str]
    """File name → digest of its bytes."""
    best_epoch: int = 0
    validation: dict[str, float] = Field(default_factory=dict[str, float])
    """Metrics of the kept weights on the validation part."""
    history: tuple[EpochRecord, ...] = ()
    """Every validation during training."""
    interrupted: bool = False
    """Training was stopped by a person; ``--resume`` goes on with it."""

    @model_serializer(mode="wrap")
    def _without_no_inputs(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name != "inputs" or value}

    @property
    def config_digest(self) -> str:
        """Identity of what was trained, the seed left out: runs that differ in the seed only share it."""
        left_out = {"seed", "files", "best_epoch", "validation", "history", "interrupted"}
        return digest(self.model_dump(mode="json", exclude=left_out))


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A loaded model, ready to score.

    Attributes:
        folder: Where it lies.
        info: Its ``config.json``.
        model: The model.
    """

    folder: Path
    info: SavedConfig
    model: Recommender


def bind(release: Release, features: NodeFeatures | None) -> Binding:
    """The binding of a model that is fitted on ``release`` now."""
    users, items = release.id_map("user"), release.id_map("item")
    return Binding(
        release=release.number,
        release_digest=digest(release.manifest.model_dump(mode="json")),
        num_users=len(users),
        num_items=len(items),
        user_ids=digest_texts(users.ids),
        item_ids=digest_texts(items.ids),
        spec_digests=features.spec_digests if features else (),
    )


def save_model(folder: Path, model: Recommender, info: SavedConfig) -> SavedConfig:
    """Write a model; an older one in the same folder is replaced as a whole.

    Args:
        folder: Made if need be.
        model: A fitted model.
        info: Its description; ``files`` is filled in here.

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
        info = info.model_copy(update={"files": files})
        (scratch / CONFIG_FILE).write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
        scratch.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return info


def load_model(folder: Path) -> SavedModel:
    """Load a model that `save_model` wrote.

    Raises:
        StoreError: If there is no model, a file of it is missing or damaged, or another product version
            wrote it.
        UnknownNameError: If it names a model that this version does not have.
    """
    info = read_config(folder)
    groups: ArrayGroups = {}
    for name, expected in info.files.items():
        path = folder / name
        if not path.is_file() or digest_bytes(path.read_bytes()) != expected:
            state = "damaged" if path.is_file() else "missing"
            raise StoreError(f"{path} is {state}.", hint="Train the model again, or restore its folder.")
        groups[path.stem] = load_file(path)
    entry = find_model(info.model)
    try:
        config = entry.config_type.model_validate(info.config)
    except ValidationError as error:
        raise _foreign(folder / CONFIG_FILE, error) from error
    model = entry.model_type(config)
    model.load_arrays(groups)
    return SavedModel(folder, info, model)


def read_config(folder: Path) -> SavedConfig:
    """A saved model's description.

    Raises:
        StoreError: If there is none, or it cannot be read.
    """
    path = folder / CONFIG_FILE
    try:
        return SavedConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(
            f"{folder} holds no trained model: there is no {CONFIG_FILE} in it.",
            hint="Train one with: featurestore train lightgcn -o FOLDER",
        ) from None
    except ValidationError as error:
        raise _foreign(path, error) from error


def find_folders(folder: Path) -> list[Path]:
    """A model's own folder, or the folders of its seeds if several were trained.

    Raises:
        StoreError: If there is no model in it.
    """
    seeds = sorted(path.parent for path in folder.glob(f"seed-*/{CONFIG_FILE}"))
    if seeds and not (folder / CONFIG_FILE).exists():
        return seeds
    read_config(folder)
    return [folder]


def check_binding(info: SavedConfig, release: Release, folder: Path) -> None:
    """Refuse a release that a model was not fitted on.

    Args:
        info: The model's description.
        release: What it is to be used with.
        folder: Where it lies, to be named.

    Raises:
        StoreError: Saying in what the two differ.
    """
    ours, theirs = info.binding, bind(release, None)
    names = ("release", "release_digest", "num_users", "num_items", "user_ids", "item_ids")
    differing = [name for name in names if getattr(ours, name) != getattr(theirs, name)]
    pinned = {pin.spec.digest for pin in release.features("vector")}
    absent = [spec for spec in ours.spec_digests if spec not in pinned]
    if not differing and not absent:
        return
    found = [f"{name} {getattr(ours, name)!r}, here {getattr(theirs, name)!r}" for name in differing]
    found += [f"vectors of spec {spec!r}, absent here" for spec in absent]
    raise StoreError(
        f"the {info.model} in {folder} was fitted on release {ours.release} and reads no other: "
        f"{'; '.join(found)}.",
        hint=f"Use --release {ours.release}, or train again on release {theirs.release}.",
    )


def config_json(config: Frozen) -> dict[str, Any]:
    """Settings as plain values, for `SavedConfig`."""
    values = config.model_dump(mode="json")
    canonical_json(values)  # refuses what JSON cannot hold, before hours of training
    return values


def _foreign(path: Path, error: ValidationError) -> StoreError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return StoreError(
        f"{path} is no model description of this version: {f'{key}: ' if key else ''}{first['msg']}.",
        hint="Train the model again, or restore its folder.",
    )


def require_replaceable(folder: Path) -> None:
    """Refuse a folder that holds anything but one saved model, before hours of training and after.

    Raises:
        UsageError: Saying what is in it.
    """
    if any(folder.glob(f"seed-*/{CONFIG_FILE}")):
        raise UsageError(
            f"{folder} holds models of several seeds; one model would take the place of all of them.",
            hint="Name another folder with --output, or remove this one.",
        )
    if not folder.exists() or (folder / CONFIG_FILE).exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UsageError(
            f"{folder} exists and is no saved model; it is left as it is.",
            hint="Name another folder with --output.",
        )


def require_no_single_model(folder: Path) -> None:
    """Refuse a folder for several seeds that is a saved model itself: it would hide them.

    Raises:
        UsageError: If it is.
    """
    if (folder / CONFIG_FILE).exists():
        raise UsageError(
            f"{folder} is a single model; models of several seeds cannot lie in it.",
            hint="Name another folder with --output, or remove this one.",
        )

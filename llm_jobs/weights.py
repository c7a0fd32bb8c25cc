"""From an alias to a folder with weights: the user's own folder, a registry package, or the model hub."""

import importlib.metadata
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from featurestore.errors import SetupError, missing_extra
from llm_jobs.aliases import load_encoders, load_models
from llm_jobs.entries import EncoderEntry, ModelEntry, Package
from llm_jobs.machine import Machine, hub_reachable, look_at_machine
from llm_jobs.model_folder import chat_template, check_model_folder, folder_digest, weights_gib

Entry = ModelEntry | EncoderEntry

_TOKENIZER_PATTERNS = ["*.json", "*.jinja", "tokenizer.model", "*.txt"]
_WEIGHT_PATTERNS = [*_TOKENIZER_PATTERNS, "*.safetensors", "1_Pooling/*", "2_Normalize/*"]
_PROCESS_GIB = 1.0
_RUNS_NOW = {"built in", "installed", "downloaded"}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        folder: Its files.
        repo: Hub repository, or ``folder:<digest>``.
        revision: Commit of the hub, or the package and version that carried it; None for a plain folder.
        chat_template: The template's text; empty for encoders.
    """

    folder: Path
    repo: str
    revision: str | None
    chat_template: str


def cache_folder() -> Path:
    """Where converted models are kept: ``FEATURESTORE_CACHE``, else ``~/.cache/cot-featurestore``."""
    return Path(os.environ.get("FEATURESTORE_CACHE") or "~/.cache/cot-featurestore").expanduser()


def locate_model(entry: ModelEntry) -> Path:
    """The folder that an engine loads, downloaded or converted first if need be.

    Raises:
        SetupError: If there is no way to the weights, or this machine is too small for them. Says what the
            model needs, what this machine has, how to point to a folder, and what else would run here.
    """
    return _locate(entry, weights=True).folder


def locate_tokenizer(entry: ModelEntry) -> ModelSource:
    """Config, tokenizer and chat template of a model; from the hub these few MB only.

    Raises:
        SetupError: As `locate_model`, the size of this machine apart.
    """
    return _locate(entry, weights=False)


def locate_encoder(entry: EncoderEntry) -> ModelSource:
    """The folder of an encoder, downloaded first if need be.

    Raises:
        SetupError: As `locate_model`.
    """
    return _locate(entry, weights=True)


def package_path(package: Package) -> Path | None:
    """The model inside an installed package, or None if the package is not installed."""
    found = find_spec(package.module)  # looks only: importing it may need what we do not have
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / package.file
    return path if path.exists() else None


def memory_needed_gib(entry: ModelEntry, folder: Path | None, kv_cache_gib: float) -> float:
    """Memory a model takes, GiB: as its entry says, or reckoned from the weights of the user's own folder."""
    if folder is None or entry.folder is None:
        return entry.memory_gib
    return weights_gib(folder) * 1.1 + kv_cache_gib + _PROCESS_GIB


def require_memory(
    entry: ModelEntry, folder: Path | None, machine: Machine, *, kv_cache_gib: float = 2.0
) -> None:
    """Refuse a model that is too large for this machine.

    Raises:
        SetupError: With what is needed, what is there, and what would fit.
    """
    needed = memory_needed_gib(entry, folder, kv_cache_gib)
    if machine.model_memory_gib >= needed:
        return
    where = "GPU memory" if machine.gpus else "memory"
    raise SetupError(
        f"model {entry.alias!r} ({entry.repo}) needs {needed:.1f} GiB of {where} and "
        f"{entry.disk_gib:.1f} GiB of disk; {machine.describe()}.",
        hint=f"Run it on a larger machine, or use a smaller model.{alternatives(entry, machine)}",
    )


def readiness(entry: Entry, machine: Machine) -> str:
    """In two words, whether an entry would run here now, such as ``installed`` or ``too large``."""
    if without_weights := _readiness_without_weights(entry):
        return without_weights
    if entry.folder is not None:
        return "own folder" if Path(entry.folder).is_dir() else "folder missing"
    if machine.model_memory_gib < entry.memory_gib:
        return "too large"
    if entry.package is not None and package_path(entry.package) is not None:
        return "installed"
    if find_spec("huggingface_hub") is not None and _cached_snapshot(entry, weights=True) is not None:
        return "downloaded"
    return "package" if entry.package is not None else "on the hub"


def _readiness_without_weights(entry: Entry) -> str:
    """Of entries that need no weights here; empty for all others."""
    if isinstance(entry, EncoderEntry):
        return "built in" if entry.encoder == "hashing" else ""
    if entry.engine == "openai":
        return "server" if entry.api_key_env is None or os.environ.get(entry.api_key_env) else "key missing"
    return "built in" if entry.engine == "echo" else ""


def alternatives(entry: Entry, machine: Machine) -> str:
    """A sentence on which other aliases would run here now, and which could be installed."""
    known: dict[str, Entry] = dict(load_models({}) if isinstance(entry, ModelEntry) else load_encoders({}))
    states = {alias: readiness(other, machine) for alias, other in known.items() if alias != entry.alias}
    ready = ", ".join(alias for alias, state in states.items() if state in _RUNS_NOW)
    lines = (known[alias].package for alias, state in states.items() if state == "package")
    install = ", ".join(package.install_line for package in lines if package is not None)
    return (f" Ready on this machine: {ready}." if ready else "") + (
        f" To be had: {install}." if install else ""
    )


def _locate(entry: Entry, *, weights: bool) -> ModelSource:
    chat = isinstance(entry, ModelEntry)
    if entry.folder is not None:
        folder = Path(entry.folder)
        check_model_folder(folder, what=_name(entry), chat=chat)
        return _source(folder, f"folder:{folder_digest(folder)}", None, chat=chat)
    package = entry.package
    if package is not None and (path := package_path(package)) is not None:
        folder = _from_package(package, path)
        check_model_folder(folder, what=_name(entry), chat=chat)
        return _source(folder, entry.repo if chat else entry.model, _package_revision(package), chat=chat)
    return _from_hub(entry, weights=weights)


def _source(folder: Path, repo: str, revision: str | None, *, chat: bool) -> ModelSource:
    return ModelSource(folder, repo, revision, chat_template(folder) if chat else "")


def _name(entry: Entry) -> str:
    return f"{'model' if isinstance(entry, ModelEntry) else 'encoder'} {entry.alias!r}"


def _package_revision(package: Package) -> str:
    return f"{package.distribution}=={importlib.metadata.version(package.distribution)}"


def _from_package(package: Package, path: Path) -> Path:
    if package.form == "folder":
        return path
    from llm_jobs.gguf import converted_folder

    return converted_folder(path, cache_folder() / "models")


def _from_hub(entry: Entry, *, weights: bool) -> ModelSource:
    chat = isinstance(entry, ModelEntry)
    if find_spec("huggingface_hub") is None:
        raise missing_extra("huggingface_hub", "vllm" if chat else "encode")
    repo = entry.repo if chat else entry.model
    folder = _cached_snapshot(entry, weights=weights)
    if folder is None:
        folder = _download(entry, repo, weights=weights)
    check_model_folder(folder, what=_name(entry), chat=chat, weights=weights)
    return _source(folder, repo, folder.name, chat=chat)


def _cached_snapshot(entry: Entry, *, weights: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repo = entry.repo if isinstance(entry, ModelEntry) else entry.model
    try:
        folder = Path(snapshot_download(repo, revision=entry.revision, local_files_only=True))
        check_model_folder(folder, what=_name(entry), chat=isinstance(entry, ModelEntry), weights=weights)
    except (LocalEntryNotFoundError, SetupError):  # nothing, or only a part of it, is in the hub's cache
        return None
    return folder


def _download(entry: Entry, repo: str, *, weights: bool) -> Path:
    machine = look_at_machine(cache_folder())
    if isinstance(entry, ModelEntry) and weights:
        require_memory(entry, None, machine)
    if (weights and machine.free_disk_gib < entry.disk_gib) or not hub_reachable():
        raise _not_to_be_had(entry, repo, machine)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = _WEIGHT_PATTERNS if weights else _TOKENIZER_PATTERNS
    try:
        return Path(
            snapshot_download(repo, revision=entry.revision, allow_patterns=patterns, etag_timeout=10)
        )
    except (HfHubHTTPError, OSError) as error:
        raise _not_to_be_had(entry, repo, machine, str(error).splitlines()[0]) from error


def _not_to_be_had(entry: Entry, repo: str, machine: Machine, why: str = "") -> SetupError:
    section = "models" if isinstance(entry, ModelEntry) else "encoders"
    option = "--model-folder" if isinstance(entry, ModelEntry) else "--encoder-folder"
    if machine.free_disk_gib < entry.disk_gib:
        found = "is not on this machine, and there is too little disk to download it"
    else:
        found = f"is not on this machine, and the model hub cannot be reached{f' ({why})' if why else ''}"
    install = f" Or: {entry.package.install_line}." if entry.package else ""
    return SetupError(
        f"{_name(entry)} ({repo}) {found}. It needs {entry.memory_gib:.1f} GiB of memory and "
        f"{entry.disk_gib:.1f} GiB of disk; {machine.describe()}.",
        hint=f"Point to a folder with its weights: {option} PATH, or in featurestore.toml: "
        f'[{section}.{entry.alias}] folder = "PATH".{install}{alternatives(entry, machine)}',
    )

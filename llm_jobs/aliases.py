"""Aliases of language models and encoders: the packaged models.toml, with a project's own entries over it."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from featurestore.errors import ConfigError, UnknownNameError, own_words
from llm_jobs.entries import EncoderEntry, ModelEntry, with_folder

ProjectEntries = Mapping[str, Mapping[str, Any]]
"""A project's ``[models]`` or ``[encoders]`` section: alias → keys to set."""

_Entry = TypeVar("_Entry", ModelEntry, EncoderEntry)


def load_models(project: ProjectEntries) -> dict[str, ModelEntry]:
    """All language models: packaged ones, and the project's own keys and aliases over them.

    Raises:
        ConfigError: If a project entry has an unknown key or a value that does not fit.
    """
    return _load("models", ModelEntry, project)


def load_encoders(project: ProjectEntries) -> dict[str, EncoderEntry]:
    """All encoders: packaged ones, and the project's own keys and aliases over them.

    Raises:
        ConfigError: If a project entry has an unknown key or a value that does not fit.
    """
    return _load("encoders", EncoderEntry, project)


def find_model(
    name: str, project: ProjectEntries, *, folder: Path | None = None, root: Path | None = None
) -> ModelEntry:
    """The language model of an alias.

    Args:
        name: Alias.
        project: The project's ``[models]`` section.
        folder: A model folder that takes the place of the entry's own source (``--model-folder``).
        root: The project's folder: relative folders of its config count from there.

    Raises:
        UnknownNameError: Listing the known aliases.
        ConfigError: If a project entry is wrong.
    """
    entry = _pick("model", name, load_models(project))
    own = str(folder.absolute()) if folder is not None else with_folder(entry.folder, root)
    return entry.model_copy(update={"folder": own, "adapter": with_folder(entry.adapter, root)})


def find_encoder(
    name: str, project: ProjectEntries, *, folder: Path | None = None, root: Path | None = None
) -> EncoderEntry:
    """The encoder of an alias; arguments and errors as in `find_model`."""
    entry = _pick("encoder", name, load_encoders(project))
    own = str(folder.absolute()) if folder is not None else with_folder(entry.folder, root)
    return entry.model_copy(update={"folder": own, "adapter": with_folder(entry.adapter, root)})


def _pick(kind: str, name: str, known: Mapping[str, _Entry]) -> _Entry:
    if name not in known:
        raise UnknownNameError(
            kind, name, known, hint=f"Add your own in featurestore.toml under [{kind}s.<alias>]."
        )
    return known[name]


def _load(section: str, entry_class: type[_Entry], project: ProjectEntries) -> dict[str, _Entry]:
    merged: dict[str, dict[str, Any]] = {alias: dict(keys) for alias, keys in _packaged()[section].items()}
    for alias, keys in project.items():
        merged[alias] = {**merged.get(alias, {}), **keys}
    return {alias: _entry(section, entry_class, alias, keys) for alias, keys in merged.items()}


def _entry(section: str, entry_class: type[_Entry], alias: str, keys: Mapping[str, Any]) -> _Entry:
    try:
        return entry_class.model_validate({**keys, "alias": alias})
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'entry'}: {own_words(e['msg'])}" for e in error.errors()
        )
        allowed = ", ".join(sorted(set(entry_class.model_fields) - {"alias"}))
        raise ConfigError(
            f"[{section}.{alias}] in featurestore.toml cannot be used: {found}.",
            hint=f"Keys of an entry: {allowed}.",
        ) from None


@cache
def _packaged() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(resources.files("llm_jobs").joinpath("models.toml").read_text("utf-8"))

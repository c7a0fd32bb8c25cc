"""Models that a store's own tuning made, by name: ``generate --model NAME``.

``tuned-models/<name>/000001.json`` says which adapter on which base model the name stands for; a later file
takes the place of an earlier one, and none ever changes. The adapter is an artefact of the store
(`featurestore.adapters`); engines load it from a folder of this machine, where it is put at first use.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from featurestore.adapters import Adapter, load_adapter
from featurestore.errors import DamagedFileError, UsageError
from featurestore.ids import canonical_json
from featurestore.objects import disk_errors, same_object
from featurestore.spec import Frozen, ModelSpec, Name
from featurestore.store import ObjectStore
from llm_jobs.aliases import find_model, load_models
from llm_jobs.entries import ModelEntry
from llm_jobs.models import model_spec

WRITERS: Final = ("vllm", "transformers")
"""Engines that load an adapter."""
_FOLDER: Final = "tuned-models/"


class TunedModel(Frozen):
    """What a name stands for."""

    base: str
    """Alias of the model that was tuned."""
    adapter: str
    """Digest of the adapter."""


def check_tuned_name(name: str, project: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a name that no tuned model can have.

    Args:
        name: Wanted.
        project: The project's ``[models]`` section.

    Raises:
        UsageError: If it is no name, or an alias already.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"{name!r} cannot name a model.",
            hint="Use letters, digits, - and _, at most 64, starting with a letter or digit.",
        ) from None
    if name in load_models(project):
        raise UsageError(
            f"{name!r} is a model already, and would hide the tuned one.", hint="Choose another --name."
        )


def save_tuned(objects: ObjectStore, name: str, model: TunedModel) -> None:
    """Make a name stand for a tuned model from now on.

    Raises:
        StorageFullError: If there is no room.
    """
    content = canonical_json(model.model_dump(mode="json")).encode()
    paths = _paths(objects).get(name, [])
    if paths and objects.read(paths[-1]) == content:
        return
    number = len(paths) + 1
    while not same_object(objects, f"{_FOLDER}{name}/{number:06d}.json", content):
        number += 1


def tuned_names(objects: ObjectStore) -> list[str]:
    """Names of the tuned models of a store, sorted."""
    return sorted(_paths(objects))


def find_tuned(objects: ObjectStore, name: str) -> TunedModel | None:
    """What a name stands for; None if it stands for no tuned model.

    Raises:
        DamagedFileError: If the file that says it cannot be read.
    """
    paths = _paths(objects).get(name)
    if not paths:
        return None
    try:
        return TunedModel.model_validate_json(objects.read(paths[-1]))
    except ValidationError as error:
        raise DamagedFileError(
            f"{paths[-1]!r} of the store is damaged: {error}.",
            hint="Restore the file from a copy, or tune again under the same name.",
        ) from error


def tuned_entry(
    objects: ObjectStore,
    name: str,
    model: TunedModel,
    *,
    project: Mapping[str, Mapping[str, Any]],
    folder: Path | None = None,
    root: Path | None = None,
    adapters: Path,
) -> ModelEntry:
    """The entry of a tuned model: its base model's, with the adapter.

    Args:
        objects: The store's.
        name: Becomes the alias.
        model: What the name stands for.
        project: The project's ``[models]`` section.
        folder: Weights of the base model (``--model-folder``).
        root: The project's folder.
        adapters: Folder of this machine in which adapters are laid out.

    Raises:
        UnknownNameError: If the base model, or the adapter, is not there.
        UsageError: If the base model is another than was tuned, or its engine loads no adapters.
        SetupError: If the base model's tokenizer is not to be had.
        StoreError: If the adapter is damaged.
        StorageFullError: If there is no room for it.
    """
    base = find_model(model.base, project, folder=folder, root=root)
    require_writer(base)
    adapter = load_adapter(objects, model.adapter)
    require_same_base(adapter, model_spec(base), name)
    return base.model_copy(update={"alias": name, "adapter": str(_lay_out(adapter, adapters))})


def require_writer(base: ModelEntry) -> None:
    """Refuse a base model that cannot carry an adapter.

    Raises:
        UsageError: If its engine loads none, or it has one.
    """
    if base.engine not in WRITERS:
        raise UsageError(
            f"model {base.alias!r} runs on the engine {base.engine!r}, which loads no adapters.",
            hint=f"Name a model whose engine is {' or '.join(WRITERS)}.",
        )
    if base.adapter is not None:
        raise UsageError(
            f"model {base.alias!r} has an adapter already ({base.adapter}).",
            hint="Name the model without it: a new adapter starts from the base weights.",
        )


def require_same_base(adapter: Adapter, base: ModelSpec, name: str) -> None:
    """Refuse weights or words that the adapter was not tuned on; their data type does not matter.

    Raises:
        UsageError: Naming both.
    """
    tuned_on = adapter.origin.base
    facts = ("repo", "revision", "quantization", "chat_template_digest")
    different = [
        f"{fact} {getattr(tuned_on, fact, None)!r}, not {getattr(base, fact)!r}"
        for fact in facts
        if getattr(tuned_on, fact, None) != getattr(base, fact)
    ]
    if different:
        raise UsageError(
            f"the adapter of {name!r} was tuned on another base model: {'; '.join(different)}.",
            hint="Bring back the model's entry as it was, or tune again.",
        )


def _lay_out(adapter: Adapter, folder: Path) -> Path:
    """The adapter's folder on this machine; its files never change, so that those there are kept."""
    target = folder / adapter.digest
    with disk_errors(str(target)):
        target.mkdir(parents=True, exist_ok=True)
        for name, content in adapter.files.items():
            file = target / name
            if not file.is_file() or file.read_bytes() != content:
                fresh = target / f"{name}.fresh"
                fresh.write_bytes(content)
                fresh.replace(file)
    return target


def _paths(objects: ObjectStore) -> dict[str, list[str]]:
    """Name → its files, oldest first."""
    found: dict[str, list[str]] = {}
    for path in sorted(objects.list(_FOLDER)):
        found.setdefault(path.split("/")[1], []).append(path)
    return found

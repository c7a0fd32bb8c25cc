"""Models that a store's own tuning made, as entries: ``generate --model NAME``.

The store says what a name stands for (`featurestore.tuned_models`) and holds the adapter; engines load it
from a folder of this machine, where it is put at first use.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from featurestore.adapters import Adapter, load_adapter
from featurestore.errors import UsageError
from featurestore.names import require_name
from featurestore.objects import disk_errors
from featurestore.spec import ModelSpec
from featurestore.store import ObjectStore
from featurestore.tuned_models import TunedModel
from llm_jobs.aliases import find_model, load_models
from llm_jobs.entries import ModelEntry
from llm_jobs.models import model_spec

WRITERS: Final = ("vllm", "transformers")
"""Engines that load an adapter."""


def check_tuned_name(name: str, project: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a name that no tuned model can have.

    Args:
        name: Wanted.
        project: The project's ``[models]`` section.

    Raises:
        UsageError: If it is no name, or an alias already.
    """
    require_name(name, "a model")
    if name in load_models(project):
        raise UsageError(
            f"{name!r} is a model already, and would hide the tuned one.", hint="Choose another --name."
        )


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

"""Models by name: a name is a file name in ``recommender/models``; settings are typed text."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from featurestore.errors import UnknownNameError, UsageError, missing_extra
from featurestore.spec import Frozen
from recommender import models
from recommender.base import Recommender
from recommender.search_space import RANKING_SPACE, Choice, LogUniform, SearchSpace


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One file of ``recommender/models``.

    Attributes:
        name: The file name.
        config_type: Its settings.
        model_type: Makes it from settings of ``config_type``.
        space: What `recommender.search` may try; empty of a model that has nothing to choose.
    """

    name: str
    config_type: type[Frozen]
    model_type: Callable[[Any], Recommender]
    space: SearchSpace = field(default_factory=dict[str, Choice | LogUniform])


def model_names() -> list[str]:
    """Every model there is: the files of the folder, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(models.__path__))


def find_model(name: str) -> ModelEntry:
    """A model by name.

    Raises:
        UnknownNameError: Listing the models there are.
        SetupError: If torch, safetensors or scipy is not installed.
    """
    if name not in model_names():
        raise UnknownNameError("model", name, model_names())
    try:
        module = importlib.import_module(f"recommender.models.{name}")
    except ModuleNotFoundError as error:
        if error.name in {"torch", "safetensors", "scipy"}:
            raise missing_extra(error.name, "train") from error
        raise
    learns = "epochs" in module.Config.model_fields
    space = getattr(module, "SPACE", RANKING_SPACE if learns else {})
    return ModelEntry(name, module.Config, module.Model, space)


def parse_settings(config_type: type[Frozen], settings: Mapping[str, str]) -> Frozen:
    """Settings from text, such as ``{"learning_rate": "0.01"}``; ``none`` stands for no value.

    Raises:
        UnknownNameError: If a setting does not exist: the nearest and all known ones are named.
        UsageError: If values do not fit; all of them are named, with what each setting means.
    """
    fields = config_type.model_fields
    for name in settings:
        if name not in fields:
            raise UnknownNameError("setting", name, fields)
    values = {
        name: None if text.lower() == "none" and type(None) in get_args(fields[name].annotation) else text
        for name, text in settings.items()
    }
    try:
        return config_type.model_validate(values)
    except ValidationError as error:
        raise UsageError(
            "\n".join(_complaint(config_type, e["loc"], e["msg"]) for e in error.errors())
        ) from error


def _complaint(config_type: type[Frozen], location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else "settings"
    field = config_type.model_fields.get(name)
    meaning = f" ({field.description})" if field and field.description else ""
    return f"{name}: {message}.{meaning}"

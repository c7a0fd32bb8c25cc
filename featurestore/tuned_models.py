"""Names of models that a store's own tuning made.

``tuned-models/<name>/000001.json`` says which adapter on which base model the name stands for; a later file
takes the place of an earlier one, and none ever changes. The adapter is an artefact of the store
(`featurestore.adapters`).
"""

from typing import Final

from pydantic import ValidationError

from featurestore.errors import DamagedFileError
from featurestore.ids import canonical_json
from featurestore.objects import same_object
from featurestore.spec import Frozen
from featurestore.store import ObjectStore

_FOLDER: Final = "tuned-models/"


class TunedModel(Frozen):
    """What a name stands for."""

    base: str
    """Alias of the model that was tuned."""
    adapter: str
    """Digest of the adapter."""


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


def find_tuned(objects: ObjectStore, name: str) -> TunedModel | None:
    """What a name stands for; None if it stands for no tuned model.

    Raises:
        DamagedFileError: If the file that says it cannot be read.
    """
    paths = _paths(objects).get(name)
    return _read(objects, paths[-1]) if paths else None


def named_adapters(objects: ObjectStore) -> set[str]:
    """Digests of the adapters that names stand for.

    Raises:
        DamagedFileError: If a file that says so cannot be read.
    """
    return {_read(objects, paths[-1]).adapter for paths in _paths(objects).values()}


def _read(objects: ObjectStore, path: str) -> TunedModel:
    try:
        return TunedModel.model_validate_json(objects.read(path))
    except ValidationError as error:
        raise DamagedFileError(
            f"{path!r} of the store is damaged: {error}.",
            hint="Restore the file from a copy, or tune again under the same name.",
        ) from error


def _paths(objects: ObjectStore) -> dict[str, list[str]]:
    """Name → its files, oldest first."""
    found: dict[str, list[str]] = {}
    for path in sorted(objects.list(_FOLDER)):
        found.setdefault(path.split("/")[1], []).append(path)
    return found

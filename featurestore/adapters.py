"""Adapters: what tuning made of a base model, as artefacts that vectors and texts are made with.

``adapters/<digest>/`` holds the files (a LoRA adapter as peft saves it, and what else learned beside it) and
``about.json``, which says where they came from. The digest is taken from the files. All are created once and
never change: whoever holds the digest has what its rows were made with. No file is opened here.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from blake3 import blake3
from pydantic import Field

from featurestore.errors import EmbeddingSpaceError, MissingVersionError, StoreError, UnknownNameError
from featurestore.ids import DIGEST_LENGTH, canonical_json
from featurestore.objects import same_object
from featurestore.spec import AnySpec, EncoderSpec, Entity, Frozen, ModelSpec, TextSpec, VectorSpec
from featurestore.store import ObjectStore

_FOLDER: Final = "adapters/"
ABOUT: Final = "about.json"
"""The file of an adapter that says where it came from."""


class AdapterOrigin(Frozen):
    """Where an adapter came from."""

    job: str
    """What it was tuned for, such as ``recmind``."""
    base: EncoderSpec | ModelSpec
    """The base model: an encoder and how its vectors are pooled, or a model that writes."""
    settings: dict[str, Any]
    """Of the loop and the objective."""
    seed: int
    release: int = Field(ge=1)
    """The release that was learned from."""
    texts: dict[Entity, str]
    """Entity → digest of the text spec that was learned from."""
    vectors: dict[Entity, str] = Field(default_factory=dict[Entity, str])
    """Entity → digest of the vector spec that was learned from, if vectors were."""
    event_set: str | None = None
    """The events that these read; None if they read none."""
    num_examples: int = Field(ge=1)
    """Texts that it learned from."""


@dataclass(frozen=True)
class Adapter:
    """An adapter and where it came from.

    Attributes:
        files: Name → content.
        origin: How it was made.
    """

    files: Mapping[str, bytes]
    origin: AdapterOrigin

    @property
    def digest(self) -> str:
        """Identity: 32 hexadecimal characters, from the names and contents of all files."""
        hasher = blake3()
        for name in sorted(self.files):
            hasher.update(f"{name}\0{len(self.files[name])}\0".encode() + self.files[name])
        return hasher.hexdigest()[:DIGEST_LENGTH]

    @property
    def encoder_base(self) -> EncoderSpec:
        """The base model of an adapter that makes vectors.

        Raises:
            EmbeddingSpaceError: If it was tuned to write.
        """
        if isinstance(self.origin.base, EncoderSpec):
            return self.origin.base
        raise EmbeddingSpaceError(
            f"the adapter {self.digest[:16]} was tuned to write by {self.origin.base.alias!r}; it makes no "
            "vectors.",
            hint="Name an adapter that `featurestore tune recmind` or `tune llmgr` made.",
        )

    def save(self, objects: ObjectStore) -> None:
        """Store it, unless it is stored already; what says that it is there comes last.

        Raises:
            StoreError: If other bytes lie under its name.
            StorageFullError: If there is no room.
        """
        digest = self.digest
        for name, content in self.files.items():
            if not same_object(objects, f"{_FOLDER}{digest}/{name}", content):
                raise _damaged(digest, f"its {name} is another than its name says")
        objects.put_new(
            f"{_FOLDER}{digest}/{ABOUT}", canonical_json(self.origin.model_dump(mode="json")).encode()
        )


def has_adapter(objects: ObjectStore, digest: str) -> bool:
    """Whether the store holds an adapter, all files of it."""
    return digest in _complete(objects)


def load_adapter(objects: ObjectStore, digest: str) -> Adapter:
    """An adapter of a store.

    Args:
        objects: The store's objects.
        digest: Its first characters, as many as name one.

    Raises:
        UnknownNameError: If the store has none, or more than one, of that digest; lists those there are.
        StoreError: If it is damaged.
    """
    complete = _complete(objects)
    found = [each for each in complete if each.startswith(digest)]
    if len(found) != 1:
        raise UnknownNameError("adapter", digest, {each[:16] for each in complete})
    whole = found[0]
    try:
        origin = _origin(objects, whole)
        files = {_name(p): objects.read(p) for p in adapter_paths(objects, whole) if _name(p) != ABOUT}
    except (ValueError, MissingVersionError) as error:
        raise _damaged(whole, str(error)) from error
    adapter = Adapter(files, origin)
    if adapter.digest != whole:
        raise _damaged(whole, "its files are others than its name says")
    return adapter


def adapters_of(objects: ObjectStore, releases: Collection[int]) -> dict[str, AdapterOrigin]:
    """Digest → origin of every adapter that learned from one of some releases.

    Raises:
        StoreError: If what says where one came from is damaged.
    """
    origins = {digest: _sound_origin(objects, digest) for digest in _complete(objects)}
    return {digest: origin for digest, origin in origins.items() if origin.release in releases}


def events_learned_from(objects: ObjectStore, digest: str) -> str | None:
    """The event set that an adapter learned from; None if it read no events, or is none of this store.

    Raises:
        StoreError: If what says where it came from is damaged.
    """
    return _sound_origin(objects, digest).event_set if has_adapter(objects, digest) else None


def tuned_adapter(spec: AnySpec) -> str | None:
    """Digest of the adapter that texts or vectors were made with; None if no adapter made them."""
    if isinstance(spec, TextSpec):
        return spec.model.adapter
    return spec.encoder.adapter if isinstance(spec, VectorSpec) else None


def adapter_paths(objects: ObjectStore, digest: str) -> list[str]:
    """Where the files of an adapter are, relative to the store; none if it is an adapter of elsewhere."""
    return objects.list(f"{_FOLDER}{digest}/")


def _complete(objects: ObjectStore) -> list[str]:
    return [path.split("/")[1] for path in objects.list(_FOLDER) if _name(path) == ABOUT]


def _origin(objects: ObjectStore, digest: str) -> AdapterOrigin:
    return AdapterOrigin.model_validate(json.loads(objects.read(f"{_FOLDER}{digest}/{ABOUT}")))


def _sound_origin(objects: ObjectStore, digest: str) -> AdapterOrigin:
    try:
        return _origin(objects, digest)
    except ValueError as error:
        raise _damaged(digest, str(error)) from error


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _damaged(digest: str, found: str) -> StoreError:
    return StoreError(
        f"the adapter {digest!r} is damaged: {found}.",
        hint=f"Restore the folder adapters/{digest} of the store from a copy, or tune again.",
    )

"""Codebooks: the model artefacts that turn vectors into codes.

``codebooks/<digest>/centroids.npy`` holds the centroids of all levels, ``codebooks/<digest>/about.json`` says
where they came from. The digest is taken from the centroids. Both are created once and never change: whoever
holds the digest has the codebooks that its codes were made with.
"""

import io
import json
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import Field

from featurestore.errors import InputError, StoreError
from featurestore.ids import canonical_json, digest_bytes
from featurestore.objects import same_object
from featurestore.spec import EncoderSpec, Frozen
from featurestore.store import ObjectStore

Centroids = npt.NDArray[np.float32]
"""(levels, codes per level, d) float32."""


class Origin(Frozen):
    """Where codebooks came from."""

    encoder: EncoderSpec
    """The embedding space of the vectors that they were trained on, and may be applied to."""
    num_vectors: int = Field(ge=1)
    """Vectors that they were trained on."""
    event_set: str | None = None
    """Event sets that these vectors read, sorted, joined with commas; None if they read no events."""
    warm_start: str | None = None
    """Digest of the codebooks that training started from; None if it started from the vectors alone."""
    iterations: int = Field(ge=1)
    """Rounds of k-means per level."""


class Codebooks:
    """Centroids of every level of a residual quantiser, coarse to fine.

    Args:
        centroids: (levels, codes per level, d) float32, finite.
        origin: Where they came from.

    Raises:
        InputError: If the array is not three-dimensional, or not finite.
    """

    def __init__(self, centroids: Centroids, origin: Origin) -> None:
        if centroids.ndim != 3 or not np.isfinite(centroids).all():
            raise InputError(
                f"codebooks are finite numbers of the shape (levels, codes, d), found {centroids.shape}."
            )
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        self.origin = origin

    @property
    def num_levels(self) -> int:
        """Codes of one entity."""
        return int(self.centroids.shape[0])

    @property
    def codebook_size(self) -> int:
        """Codes that a level chooses from."""
        return int(self.centroids.shape[1])

    @cached_property
    def digest(self) -> str:
        """Identity: 32 hexadecimal characters, from the file that holds the centroids."""
        return digest_bytes(self._file)

    def decode(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """The vectors that codes stand for: the sum of their centroids.

        Args:
            codes: (..., l) with l ≤ levels: the first l codes.

        Returns:
            (..., d) float32.
        """
        levels = range(codes.shape[-1])
        return np.sum([self.centroids[level][codes[..., level]] for level in levels], axis=0)

    def save(self, objects: ObjectStore) -> None:
        """Store them, unless they are stored already.

        Raises:
            StoreError: If other bytes lie under their name.
            StorageFullError: If there is no room.
        """
        about = canonical_json(self.origin.model_dump(mode="json")).encode()
        objects.put_new(about_path(self.digest), about)
        if not same_object(objects, centroids_path(self.digest), self._file):
            raise _damaged(self.digest, "its centroids are others than its name says")

    @cached_property
    def _file(self) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, self.centroids, allow_pickle=False)
        return buffer.getvalue()


def load_codebooks(objects: ObjectStore, digest: str) -> Codebooks:
    """Codebooks of a store.

    Raises:
        MissingVersionError: If the store has none of that digest.
        StoreError: If they are damaged.
    """
    data = objects.read(centroids_path(digest))
    if digest_bytes(data) != digest:
        raise _damaged(digest, "its centroids are others than its name says")
    try:
        origin = Origin.model_validate(json.loads(objects.read(about_path(digest))))
        return Codebooks(np.load(io.BytesIO(data), allow_pickle=False), origin)
    except ValueError as error:
        raise _damaged(digest, str(error)) from error


def centroids_path(digest: str) -> str:
    """Where the centroids of codebooks are, relative to the store."""
    return f"codebooks/{digest}/centroids.npy"


def about_path(digest: str) -> str:
    """Where it is said what codebooks were trained on, relative to the store."""
    return f"codebooks/{digest}/about.json"


def _damaged(digest: str, found: str) -> StoreError:
    return StoreError(
        f"the codebook {digest!r} is damaged: {found}.",
        hint=f"Restore the folder codebooks/{digest} of the store from a copy, or train a new codebook with "
        "`featurestore semantic-ids --codebook new`.",
    )

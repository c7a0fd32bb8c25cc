"""Codebooks: the model artefacts that turn vectors into codes.

``codebooks/<digest>/centroids.npy`` holds the centroids of all levels, ``network.npy`` beside it the encoder
and decoder of an RQ-VAE, ``about.json`` says where they came from. The digest is taken from the numbers. All
are created once and never change: whoever holds the digest has the codebooks that its codes were made with.
"""

import io
import json
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import Field

from featurestore.codes.latent_network import LatentNetwork, read_network
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
    """Rounds of k-means per level; of an RQ-VAE, epochs."""
    network: tuple[int, ...] | None = None
    """Columns of an RQ-VAE's encoder, from the vector to the latent; None where vectors are coded as such."""


class Codebooks:
    """Centroids of every level of a residual quantiser, coarse to fine.

    Args:
        centroids: (levels, codes per level, d) float32, finite; of an RQ-VAE d is the latent's.
        origin: Where they came from.
        network: Of an RQ-VAE.

    Raises:
        InputError: If the array is not three-dimensional, or not finite.
    """

    def __init__(self, centroids: Centroids, origin: Origin, network: LatentNetwork | None = None) -> None:
        if centroids.ndim != 3 or not np.isfinite(centroids).all():
            raise InputError(
                f"codebooks are finite numbers of the shape (levels, codes, d), found {centroids.shape}."
            )
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        self.origin = origin
        self.network = network

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
        """Identity: 32 hexadecimal characters, from the files that hold the numbers."""
        return _digest(self._file, None if self.network is None else self.network.file)

    def project(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What is coded of vectors, (n, d) float32: themselves, or an RQ-VAE's latents."""
        return vectors if self.network is None else self.network.latents(vectors)

    def decode(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """The vectors that codes stand for: the sum of their centroids, decoded by an RQ-VAE.

        Args:
            codes: (..., l) with l ≤ levels: the first l codes.

        Returns:
            (..., d) float32.
        """
        levels = range(codes.shape[-1])
        summed = np.sum([self.centroids[level][codes[..., level]] for level in levels], axis=0)
        return summed if self.network is None else self.network.vectors(summed)

    def save(self, objects: ObjectStore) -> None:
        """Store them, unless they are stored already.

        Raises:
            StoreError: If other bytes lie under their name.
            StorageFullError: If there is no room.
        """
        # What is not there is not written down: codebooks without a network stay what they were.
        absent = {"network"} if self.network is None else set[str]()
        about = canonical_json(self.origin.model_dump(mode="json", exclude=absent)).encode()
        objects.put_new(about_path(self.digest), about)
        if self.network is not None:
            objects.put_new(network_path(self.digest), self.network.file)
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
    has_network = network_path(digest) in objects.list(network_path(digest))
    network = objects.read(network_path(digest)) if has_network else None
    if _digest(data, network) != digest:
        raise _damaged(digest, "its centroids are others than its name says")
    try:
        origin = Origin.model_validate(json.loads(objects.read(about_path(digest))))
        centroids = np.load(io.BytesIO(data), allow_pickle=False)
        widths: Sequence[int] = origin.network or ()
        return Codebooks(centroids, origin, None if network is None else read_network(network, widths))
    except (ValueError, InputError) as error:
        raise _damaged(digest, str(error)) from error


def network_path(digest: str) -> str:
    """Where an RQ-VAE's encoder and decoder are, relative to the store."""
    return f"codebooks/{digest}/network.npy"


def centroids_path(digest: str) -> str:
    """Where the centroids of codebooks are, relative to the store."""
    return f"codebooks/{digest}/centroids.npy"


def about_path(digest: str) -> str:
    """Where it is said what codebooks were trained on, relative to the store."""
    return f"codebooks/{digest}/about.json"


def _digest(centroids: bytes, network: bytes | None) -> str:
    return digest_bytes(centroids if network is None else centroids + network)


def _damaged(digest: str, found: str) -> StoreError:
    return StoreError(
        f"the codebook {digest!r} is damaged: {found}.",
        hint=f"Restore the folder codebooks/{digest} of the store from a copy, or train a new codebook with "
        "`featurestore semantic-ids --codebook new`.",
    )

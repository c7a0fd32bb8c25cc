"""Vectors of a release as a model's input, and their controls.

A *control* answers "is it the text, or just more parameters?": ``shuffled`` gives every item another item's
vector, ``random`` a Gaussian direction of the same length. A model that gains from text loses with both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from featurestore import columns as c
from featurestore.errors import InputError, LeakError, UsageError
from featurestore.ids import ExternalId
from featurestore.reader import Embeddings, Release, require_same_space
from featurestore.spec import Entity
from recommender.data import FloatArray

Control: TypeAlias = Literal["none", "shuffled", "random"]


@dataclass(frozen=True)
class EntityFeatures:
    """One vector per row of an id map: of items, or of users.

    Attributes:
        matrix: (n, d) float32, all finite; zero rows where an entity has no vector.
        has_vector: (n,) bool.
        spec_digests: Digest of each vector spec used: the feature's, then the fallback's.
        control: What was done to the vectors.
    """

    matrix: FloatArray
    has_vector: npt.NDArray[np.bool_]
    spec_digests: tuple[str, ...] = ()
    control: Control = "none"


@dataclass(frozen=True)
class NodeFeatures:
    """What a model may read about items and about users; at least one of them is given.

    Attributes:
        items: (num_items, d) vectors.
        users: (num_users, d') vectors, which may be of another embedding space.
    """

    items: EntityFeatures | None = None
    users: EntityFeatures | None = None

    @property
    def spec_digests(self) -> tuple[str, ...]:
        """Digest of each vector spec used: those of items, then those of users."""
        return tuple(d for side in (self.items, self.users) if side is not None for d in side.spec_digests)


def entity_features(
    release: Release,
    entity: Entity,
    feature: str,
    *,
    view: str | None = None,
    fallback: str | None = None,
    control: Control = "none",
    seed: int = 0,
    optimistic_validation: bool = False,
) -> EntityFeatures:
    """Vectors of a release, lined up with its rows of items or users.

    A trainer chooses epochs and settings on the validation part, so vectors that read validation events make
    it look better than it is: they need to be asked for. Vectors that read test events are always refused.

    Args:
        release: An opened release.
        entity: ``"item"`` or ``"user"``.
        feature: Vector feature of that entity, such as ``item_cot``.
        view: Its view; the release's default view if None.
        fallback: Feature for entities that ``feature`` has no vector of, made by the same encoder.
        control: See the module's head.
        seed: Of the control's draws.
        optimistic_validation: Take vectors that read validation events too.

    Raises:
        LeakError: If the vectors, or what they were made of, read held-out events or another split's.
        EmbeddingSpaceError: If the two features were made by different encoders.
        UsageError: If a feature describes the other entity.
        InputError: If a vector holds NaN or infinity.
    """
    parts = (c.TRAIN, c.VALID) if optimistic_validation else (c.TRAIN,)
    sources = [_read(release, feature, view, parts)]
    if fallback is not None:
        sources.append(_read(release, fallback, None, parts))
        require_same_space(*sources)
    return apply_control(line_up(sources, release.id_map(entity).ids, entity), control, seed)


def line_up(
    sources: Sequence[Embeddings], ids: Sequence[ExternalId], entity: Entity = "item"
) -> EntityFeatures:
    """Vectors of entities by their rows; where a source has none, those of the next one.

    Args:
        sources: At least one, all of one embedding space.
        ids: External id of each row. Vectors of others are left out.
        entity: What the rows are.

    Raises:
        UsageError: If a source describes the other entity.
        InputError: If a vector holds NaN or infinity.
    """
    matrix = np.zeros((len(ids), sources[0].matrix.shape[1]), np.float32)
    has_vector = np.zeros(len(ids), np.bool_)
    for embeddings in sources:
        _check_entity(embeddings, entity)
        rows = embeddings.find(ids)
        fresh = (rows >= 0) & ~has_vector
        matrix[fresh] = embeddings.matrix[rows[fresh]]
        has_vector |= fresh
    _check_finite(matrix, ids, sources[0].spec.feature)
    return EntityFeatures(matrix, has_vector, tuple(e.spec.digest for e in sources))


def _read(release: Release, feature: str, view: str | None, parts: tuple[str, ...]) -> Embeddings:
    try:
        return release.embeddings(feature, view, allow_parts=parts)
    except LeakError as error:
        raise LeakError(
            error.message,
            hint="Make it from training events. What read validation events serves a final test only: with "
            "--optimistic-validation it is taken, and the validation metrics are too good to choose by.",
        ) from error


def _check_entity(embeddings: Embeddings, entity: Entity) -> None:
    if embeddings.spec.entity not in {entity, None}:
        raise UsageError(
            f"feature {embeddings.spec.feature!r} describes {embeddings.spec.entity}s; "
            f"{entity} features were expected.",
            hint=f"List the {entity} features of the release with: featurestore ls",
        )


def _check_finite(matrix: FloatArray, ids: Sequence[ExternalId], feature: str) -> None:
    broken = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(broken):
        named = ", ".join(repr(ids[row]) for row in broken[:5])
        raise InputError(
            f"{len(broken)} vectors of feature {feature!r} hold NaN or infinity, such as those of {named}.",
            hint="Embed or import them again, and publish through the gates, which find such vectors.",
        )


def apply_control(features: EntityFeatures, control: Control, seed: int) -> EntityFeatures:
    """The same features with the control applied to rows that have a vector."""
    if control == "none":
        return features
    generator = np.random.default_rng([seed, 0xC0])
    rows = np.flatnonzero(features.has_vector)
    matrix = features.matrix.copy()
    if control == "shuffled":
        matrix[rows] = matrix[_derangement(rows, generator)]
    else:
        noise = generator.standard_normal((len(rows), matrix.shape[1]), dtype=np.float32)
        noise /= np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-12)
        matrix[rows] = noise * np.linalg.norm(matrix[rows], axis=1, keepdims=True)
    return EntityFeatures(matrix, features.has_vector, features.spec_digests, control)


def _derangement(rows: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """For each row another row: a random cycle through all of them."""
    cycle = generator.permutation(len(rows))
    source = np.empty_like(cycle)
    source[cycle] = np.roll(cycle, 1)
    return rows[source]

"""Item vectors of a release as a model's input, their controls, and the frozen projection.

A *control* answers "is it the text, or just more parameters?": ``shuffled`` gives every item another item's
vector, ``random`` a Gaussian direction of the same length. A model that gains from text loses with both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from featurestore import columns as c
from featurestore.errors import LeakError, StoreError, UsageError
from featurestore.ids import ExternalId
from featurestore.reader import Embeddings, Release, require_same_space
from recommender.data import FloatArray

Control: TypeAlias = Literal["none", "shuffled", "random"]


@dataclass(frozen=True)
class ItemFeatures:
    """One vector per item row.

    Attributes:
        matrix: (num_items, d) float32; zero rows where an item has no vector.
        has_vector: (num_items,) bool.
        spec_digests: Digest of each vector spec used: the feature's, then the fallback's.
        control: What was done to the vectors.
    """

    matrix: FloatArray
    has_vector: npt.NDArray[np.bool_]
    spec_digests: tuple[str, ...] = ()
    control: Control = "none"


def item_features(
    release: Release,
    feature: str,
    *,
    view: str | None = None,
    fallback: str | None = None,
    control: Control = "none",
    seed: int = 0,
    optimistic_validation: bool = False,
) -> ItemFeatures:
    """Vectors of a release, lined up with its item rows.

    A trainer chooses epochs and settings on the validation part, so vectors that read validation events make
    it look better than it is: they need to be asked for. Vectors that read test events are always refused.

    Args:
        release: An opened release.
        feature: Vector feature of items, such as ``item_cot``.
        view: Its view; the release's default view if None.
        fallback: Feature for items that ``feature`` has no vector of, made by the same encoder.
        control: See the module's head.
        seed: Of the control's draws.
        optimistic_validation: Take vectors that read validation events too.

    Raises:
        LeakError: If the vectors, or what they were made of, read held-out events or another split's.
        EmbeddingSpaceError: If the two features were made by different encoders.
        UsageError: If a feature describes users, not items.
    """
    parts = (c.TRAIN, c.VALID) if optimistic_validation else (c.TRAIN,)
    sources = [_read(release, feature, view, parts)]
    if fallback is not None:
        sources.append(_read(release, fallback, None, parts))
        require_same_space(*sources)
    return apply_control(line_up(sources, release.id_map("item").ids), control, seed)


def line_up(sources: Sequence[Embeddings], item_ids: Sequence[ExternalId]) -> ItemFeatures:
    """Vectors of items by their rows; where a source has none, those of the next one.

    Args:
        sources: At least one, all of one embedding space.
        item_ids: External id of each row. Vectors of other items are left out.

    Raises:
        UsageError: If a source describes users, not items.
    """
    matrix = np.zeros((len(item_ids), sources[0].matrix.shape[1]), np.float32)
    has_vector = np.zeros(len(item_ids), np.bool_)
    for embeddings in sources:
        _check_items(embeddings)
        rows = embeddings.find(item_ids)
        fresh = (rows >= 0) & ~has_vector
        matrix[fresh] = embeddings.matrix[rows[fresh]]
        has_vector |= fresh
    return ItemFeatures(matrix, has_vector, tuple(e.spec.digest for e in sources))


def _read(release: Release, feature: str, view: str | None, parts: tuple[str, ...]) -> Embeddings:
    try:
        return release.embeddings(feature, view, allow_parts=parts)
    except LeakError as error:
        raise LeakError(
            error.message,
            hint="Make it from training events. What read validation events serves a final test only: with "
            "--optimistic-validation it is taken, and the validation metrics are too good to choose by.",
        ) from error


def _check_items(embeddings: Embeddings) -> None:
    if embeddings.spec.entity == "user":
        raise UsageError(
            f"feature {embeddings.spec.feature!r} describes users; item features were expected.",
            hint="List the item features of the release with: featurestore ls",
        )


def apply_control(features: ItemFeatures, control: Control, seed: int) -> ItemFeatures:
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
    return ItemFeatures(matrix, features.has_vector, features.spec_digests, control)


def _derangement(rows: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """For each row another row: a random cycle through all of them."""
    cycle = generator.permutation(len(rows))
    source = np.empty_like(cycle)
    source[cycle] = np.roll(cycle, 1)
    return rows[source]


@dataclass(frozen=True, slots=True)
class Projection:
    """Frozen PCA: Ẽ = (x - mean) components / scale (ISRF eq. 2).

    ``scale`` makes a row's mean square 1 per dimension, so that the adapter's first output has the size of an
    ID embedding whatever encoder made x. It is our reconstruction: the paper does not say how E_V is scaled.

    Attributes:
        mean: (d,) float32.
        components: (d, d') float32, orthonormal columns, by falling variance.
        scale: (1,) float32.
    """

    mean: FloatArray
    components: FloatArray
    scale: FloatArray

    def apply(self, features: ItemFeatures) -> FloatArray:
        """(num_items, d') float32; items without a vector stay zero, the mean of all."""
        projected = (features.matrix - self.mean) @ self.components / self.scale
        projected[~features.has_vector] = 0.0
        return np.ascontiguousarray(projected, np.float32)


def fit_projection(features: ItemFeatures, max_components: int) -> Projection:
    """PCA of the items that have a vector; deterministic, each component's largest entry is positive.

    Cost: one eigendecomposition of a (d, d) matrix.

    Args:
        features: At least two items with a vector.
        max_components: d' at most; fewer if d or the items are fewer.

    Raises:
        StoreError: If fewer than two items have a vector, or all vectors are equal.
    """
    vectors = features.matrix[features.has_vector].astype(np.float64)  # (n, d)
    if len(vectors) < 2:
        raise StoreError(
            f"only {len(vectors)} items have a vector; a projection needs at least 2.",
            hint="Name a fallback feature that covers more items, or embed more texts.",
        )
    mean = vectors.mean(axis=0)
    centered = vectors - mean
    variances, axes = np.linalg.eigh(centered.T @ centered / len(vectors))  # ascending
    num_components = min(max_components, vectors.shape[1], len(vectors) - 1)
    components = axes[:, ::-1][:, :num_components]  # (d, d')
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(num_components)])
    scale = float(np.sqrt(np.maximum(variances[::-1][:num_components], 0.0).mean()))
    if scale < 1e-8:
        raise StoreError("all item vectors are equal; they cannot tell items apart.")
    return Projection(
        mean.astype(np.float32), np.ascontiguousarray(components, np.float32), np.array([scale], np.float32)
    )

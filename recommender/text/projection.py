"""The frozen PCA between stored vectors and a model: fitted once, saved with the model, never trained."""

from dataclasses import dataclass

import numpy as np

from featurestore.errors import StoreError
from recommender.data import FloatArray
from recommender.features import EntityFeatures


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

    def arrays(self) -> dict[str, FloatArray]:
        """Its attributes by name: ``Projection(**arrays)`` is the same projection."""
        return {"mean": self.mean, "components": self.components, "scale": self.scale}

    def apply(self, features: EntityFeatures) -> FloatArray:
        """(n, d') float32; entities without a vector stay zero, the mean of all."""
        projected = (features.matrix - self.mean) @ self.components / self.scale
        projected[~features.has_vector] = 0.0
        return np.ascontiguousarray(projected, np.float32)


def fit_projection(features: EntityFeatures, max_components: int) -> Projection:
    """PCA of the entities that have a vector; deterministic, each component's largest entry is positive.

    Cost: one eigendecomposition of a (d, d) matrix.

    Args:
        features: At least two entities with a vector.
        max_components: d' at most; fewer if d or the entities are fewer.

    Raises:
        StoreError: If fewer than two entities have a vector, or all vectors are equal.
    """
    vectors = features.matrix[features.has_vector].astype(np.float64)  # (n, d)
    if len(vectors) < 2:
        raise StoreError(
            f"only {len(vectors)} entities have a vector; a projection needs at least 2.",
            hint="Name a fallback feature that covers more of them, or embed more texts.",
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
        raise StoreError("all vectors are equal; they cannot tell entities apart.")
    return Projection(
        mean.astype(np.float32), np.ascontiguousarray(components, np.float32), np.array([scale], np.float32)
    )

"""Residual quantisation by FAISS: codebooks trained on vectors, and vectors turned into codes.

    r_1 = x,   c_l = argmin_k ‖r_l - e_{l,k}‖,   r_{l+1} = r_l - e_{l,c_l}

A beam of b > 1 keeps the b best partial sums at each level in place of the best one. Training is greedy
(b = 1) whatever encodes: FAISS trains a level on the residuals of the whole beam, which made codebooks worse
in every trial (docs/semantic-ids.md).
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from featurestore.codes.codebooks import Centroids
from featurestore.errors import InputError
from featurestore.faiss_library import load_faiss

Vectors = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]

TRAINING_SEED: Final = 20240229
_CHUNK_FLOATS: Final = 16_000_000
"""Floats held at once while vectors are encoded: 64 MB."""


def train_centroids(vectors: Vectors, *, num_levels: int, codebook_size: int, iterations: int) -> Centroids:
    """Centroids from vectors alone.

    Clusters are first found in the directions of most variance, then in more and more of them: that spreads
    items over more codes than plain k-means does (docs/semantic-ids.md).

    Args:
        vectors: (n, d) float32. Of more than 256 per centroid, so many are drawn.
        num_levels: Levels.
        codebook_size: Centroids of each, a power of two.
        iterations: Rounds of k-means per level.

    Returns:
        (num_levels, codebook_size, d) float32.

    Raises:
        InputError: If there are fewer vectors than centroids of a level.
    """
    _check_enough(vectors, codebook_size)
    quantizer = _quantizer(vectors.shape[1], num_levels, codebook_size)
    quantizer.cp.niter, quantizer.cp.seed = iterations, TRAINING_SEED
    quantizer.cp.min_points_per_centroid = 1  # FAISS warns below 39, on the standard error of the command
    if len(vectors) < vectors.shape[1]:
        quantizer.train_type = load_faiss().ResidualQuantizer.Train_default  # too few to find directions by
    quantizer.train(np.ascontiguousarray(vectors, np.float32))
    trained = load_faiss().vector_to_array(quantizer.codebooks)
    return trained.reshape(num_levels, codebook_size, vectors.shape[1])


def retrain_centroids(vectors: Vectors, start: Centroids, *, iterations: int) -> Centroids:
    """Centroids moved towards other vectors, level by level, each by k-means from where it stood.

    FAISS's quantiser has no way to start from given centroids; its k-means has.

    Args:
        vectors: (n, d) float32.
        start: (levels, codes, d) float32.
        iterations: Rounds of k-means per level: each moves the centroids, and with them codes, further.

    Returns:
        As ``start``. A code keeps its place: it means about what it meant.

    Raises:
        InputError: If there are fewer vectors than centroids of a level, or they have another width.
    """
    _check_enough(vectors, start.shape[1])
    if vectors.shape[1] != start.shape[2]:
        raise InputError(f"codebooks of {start.shape[2]} columns cannot code vectors of {vectors.shape[1]}.")
    moved = start.copy()
    residuals = np.ascontiguousarray(vectors, np.float32)
    for level in range(len(start)):
        means = load_faiss().Kmeans(
            vectors.shape[1], start.shape[1], niter=iterations, seed=TRAINING_SEED, min_points_per_centroid=1
        )
        means.train(residuals, init_centroids=start[level])
        moved[level] = means.centroids
        nearest = encode(residuals, moved[level : level + 1], beam_size=1)[:, 0]
        residuals = residuals - moved[level][nearest]
    return moved


def encode(vectors: Vectors, centroids: Centroids, *, beam_size: int) -> Codes:
    """Codes of vectors.

    FAISS finds ``beam_size`` finalists in float32. They are scored again in float64, equal ones rank by their
    codes, so that the order in which a matrix product adds its terms decides as little as it can. It may
    still decide between partial sums that float32 cannot tell apart: stored codes are never computed again.

    Args:
        vectors: (n, d) float32.
        centroids: (levels, codes, d) float32.
        beam_size: Partial sums kept at each level; 1 is greedy.

    Returns:
        (n, levels) int32.
    """
    num_levels, codebook_size, width = centroids.shape
    quantizer = _quantizer(width, num_levels, codebook_size)
    load_faiss().copy_array_to_vector(
        np.ascontiguousarray(centroids, np.float32).ravel(), quantizer.codebooks
    )
    quantizer.is_trained = True
    kept = min(beam_size, codebook_size**num_levels)
    codes = np.empty((len(vectors), num_levels), np.int32)
    step = max(1, _CHUNK_FLOATS // (kept * (width + codebook_size)))
    for start in range(0, len(vectors), step):
        part = np.ascontiguousarray(vectors[start : start + step], np.float32)
        finalists = _finalists(quantizer, part, num_levels, kept)
        codes[start : start + step] = finalists[:, 0] if kept == 1 else _best(part, centroids, finalists)
    return codes


def _finalists(quantizer: Any, vectors: Vectors, num_levels: int, kept: int) -> Codes:  # noqa: ANN401 -- FAISS has no types
    """(n, kept, levels) int32."""
    pointer = load_faiss().swig_ptr
    codes = np.empty((len(vectors), kept, num_levels), np.int32)
    quantizer.refine_beam(len(vectors), 1, pointer(vectors), kept, pointer(codes))
    return codes


def _best(vectors: Vectors, centroids: Centroids, finalists: Codes) -> Codes:
    """The finalist nearest to each vector: (n, levels) int32."""
    errors = np.empty(finalists.shape[:2])
    for place in range(finalists.shape[1]):
        residual = vectors.astype(np.float64)
        for level in range(finalists.shape[2]):
            residual -= centroids[level][finalists[:, place, level]]
        errors[:, place] = (residual * residual).sum(axis=1)
    by_codes = [finalists[:, :, level] for level in reversed(range(finalists.shape[2]))]
    first = np.lexsort((*by_codes, errors), axis=1)[:, 0]
    return finalists[np.arange(len(vectors)), first]


def _check_enough(vectors: Vectors, codebook_size: int) -> None:
    if len(vectors) < codebook_size:
        raise InputError(
            f"{codebook_size} codes a level need as many vectors at least, there are {len(vectors)}.",
            hint="Set a smaller codebook_size in [semantic_ids], or embed more rows first.",
        )


def _quantizer(width: int, num_levels: int, codebook_size: int) -> Any:  # noqa: ANN401 -- as above
    quantizer = load_faiss().ResidualQuantizer(width, num_levels, codebook_size.bit_length() - 1)
    quantizer.max_beam_size = 1
    return quantizer

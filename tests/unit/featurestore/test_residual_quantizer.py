"""Codes against an oracle that knows only the definition; training against what quantisers promise."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.codes.residual_quantizer import encode, retrain_centroids, train_centroids
from featurestore.errors import InputError

Floats = npt.NDArray[np.float32]


def by_definition(vector: Floats, centroids: Floats, beam_size: int) -> tuple[list[int], float]:
    """Beam search in float64 over every extension of every partial code; ties by the codes.

    Returns:
        The best codes, and by how much the closest decision was won: of squared distances, at any level.
    """
    kept: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    margin = np.inf
    for level in range(len(centroids)):
        extended: list[tuple[float, tuple[int, ...]]] = []
        for _, codes in kept:
            partial = sum((centroids[at][code].astype(np.float64) for at, code in enumerate(codes)), 0.0)
            for code, centroid in enumerate(centroids[level].astype(np.float64)):
                residual = vector.astype(np.float64) - partial - centroid
                extended.append((float(residual @ residual), (*codes, code)))
        extended.sort()
        kept = extended[:beam_size]
        if len(extended) > beam_size:
            margin = min(margin, extended[beam_size][0] - kept[-1][0])
    if len(kept) > 1:
        margin = min(margin, kept[1][0] - kept[0][0])
    return list(kept[0][1]), margin


@given(
    n=st.integers(1, 20),
    d=st.integers(1, 12),
    levels=st.integers(1, 3),
    bits=st.integers(1, 4),
    beam_size=st.sampled_from([1, 2, 5, 40]),
    seed=st.integers(0, 2**31),
)
def test_codes_are_those_of_the_definition(
    n: int, d: int, levels: int, bits: int, beam_size: int, seed: int
) -> None:
    """Wherever float32 can tell: squared distances here are about d, their rounding far below 1e-4."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    centroids = rng.normal(size=(levels, 2**bits, d)).astype(np.float32)
    found = encode(vectors, centroids, beam_size=beam_size)
    assert (found.shape, found.dtype) == ((n, levels), np.int32)
    decided = 0
    for vector, codes in zip(vectors, found, strict=True):
        expected, margin = by_definition(vector, centroids, beam_size)
        if margin > 1e-4:
            decided += 1
            assert codes.tolist() == expected
    assert decided >= n // 2


def test_greedy_codes_take_the_nearest_centroid_level_by_level() -> None:
    centroids = np.array([[[0, 0], [10, 0]], [[0, 0], [0, 1]]], np.float32)
    vectors = np.array([[1, 0.2], [9, 0.9], [6, 0.4]], np.float32)
    assert encode(vectors, centroids, beam_size=1).tolist() == [[0, 0], [1, 1], [1, 0]]


def test_a_beam_finds_what_greed_misses() -> None:
    """6 is nearer to 10 than to 0, but 0 + 5.9 is nearer still."""
    centroids = np.array([[[0], [10]], [[5.9], [0]]], np.float32)
    vector = np.array([[6]], np.float32)
    assert encode(vector, centroids, beam_size=1).tolist() == [[1, 1]]
    assert encode(vector, centroids, beam_size=2).tolist() == [[0, 0]]


def test_equal_finalists_rank_by_their_codes() -> None:
    centroids = np.array([[[1], [1], [1], [1]], [[2], [2], [2], [2]]], np.float32)
    assert encode(np.array([[3]], np.float32), centroids, beam_size=16).tolist() == [[0, 0]]


def test_no_vectors_have_no_codes() -> None:
    assert encode(np.empty((0, 3), np.float32), np.ones((2, 4, 3), np.float32), beam_size=1).shape == (0, 2)


def test_vectors_are_coded_alike_alone_and_together(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(200, 24)).astype(np.float32)
    centroids = train_centroids(vectors, num_levels=3, codebook_size=16, iterations=5)
    for beam_size in (1, 4):
        together = encode(vectors, centroids, beam_size=beam_size)
        alone = [encode(vectors[row : row + 1], centroids, beam_size=beam_size)[0] for row in range(200)]
        np.testing.assert_array_equal(together, alone)


def squared_error(vectors: Floats, centroids: Floats, beam_size: int = 1) -> float:
    codes = encode(vectors, centroids, beam_size=beam_size)
    decoded = sum(centroids[level][codes[:, level]] for level in range(len(centroids)))
    return float(((vectors - decoded) ** 2).sum())


def clustered(rng: np.random.Generator, n: int, centers: Floats) -> Floats:
    noise = rng.normal(scale=0.3, size=(n, centers.shape[1]))
    return (centers[rng.integers(0, len(centers), n)] + noise).astype(np.float32)


def test_training_finds_clusters_and_each_level_keeps_more(rng: np.random.Generator) -> None:
    centers = rng.normal(scale=3.0, size=(16, 8)).astype(np.float32)
    vectors = clustered(rng, 2000, centers)
    centroids = train_centroids(vectors, num_levels=3, codebook_size=16, iterations=10)
    assert (centroids.shape, centroids.dtype) == ((3, 16, 8), np.float32)
    left = [squared_error(vectors, centroids[: level + 1]) for level in range(3)]
    spread = float(((vectors - vectors.mean(axis=0)) ** 2).sum())
    assert left[0] < 0.15 * spread
    assert left[0] > left[1] > left[2]
    again = train_centroids(vectors, num_levels=3, codebook_size=16, iterations=10)
    np.testing.assert_array_equal(again, centroids)


def test_a_warm_start_fits_new_vectors_and_moves_few_codes(rng: np.random.Generator) -> None:
    centers = rng.normal(scale=3.0, size=(16, 8)).astype(np.float32)
    before = clustered(rng, 2000, centers)
    start = train_centroids(before, num_levels=2, codebook_size=16, iterations=10)
    shifted = before + np.float32(0.15)
    warm = retrain_centroids(shifted, start, iterations=2)
    assert squared_error(shifted, warm) < squared_error(shifted, start)
    moved = encode(shifted, warm, beam_size=1) != encode(shifted, start, beam_size=1)
    assert moved[:, 0].mean() < 0.05
    assert moved.any(axis=1).mean() < 0.35


def test_a_warm_start_that_fits_already_stays(rng: np.random.Generator) -> None:
    """Every vector is a sum of centroids: k-means has nowhere to go."""
    start = np.array([[[0, 0], [100, 0]], [[0, -1], [0, 1]]], np.float32)
    vectors = np.repeat([[0, -1], [0, 1], [100, -1], [100, 1]], 5, axis=0).astype(np.float32)
    np.testing.assert_allclose(retrain_centroids(vectors, start, iterations=3), start, atol=1e-5)


def test_too_few_vectors_and_another_width_are_refused() -> None:
    few = np.ones((3, 2), np.float32)
    with pytest.raises(InputError, match="4 codes a level need as many vectors at least, there are 3"):
        train_centroids(few, num_levels=1, codebook_size=4, iterations=1)
    with pytest.raises(InputError, match="4 codes a level"):
        retrain_centroids(few, np.ones((1, 4, 2), np.float32), iterations=1)
    with pytest.raises(InputError, match="codebooks of 5 columns cannot code vectors of 2"):
        retrain_centroids(few, np.ones((1, 2, 5), np.float32), iterations=1)


def test_training_says_nothing_on_standard_error(
    capfd: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    vectors = rng.normal(size=(40, 4)).astype(np.float32)
    start = train_centroids(vectors, num_levels=2, codebook_size=32, iterations=2)
    retrain_centroids(vectors, start, iterations=2)
    assert capfd.readouterr() == ("", "")

"""Semantic ids of a real catalogue: error, use of codes and time against scikit-learn, and how many ids move.

Vectors are TF-IDF of title, brand, categories and description, brought to 384 dimensions by an SVD: they
stand for a text encoder's, and need no model. The peer quantises residuals too, by ``sklearn.cluster.KMeans``
level by level. Errors are squared distances, as a share of those to the mean vector.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from common import compare, record, seconds

from featurestore.codes.residual_quantizer import encode, retrain_centroids, train_centroids

Vectors = npt.NDArray[np.float32]
EMBEDDING_DIM = 384
NUM_LEVELS, CODEBOOK_SIZE, ITERATIONS = 3, 256, 10
FIELDS = ("title", "brand", "categories", "description")


def catalogue(path: Path, rows: int | None) -> Vectors:
    """(n, 384) unit vectors of the items' texts."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    items = pl.read_parquet(path).head(rows) if rows else pl.read_parquet(path)
    texts = [" ".join(str(part) for part in row if part) for row in items.select(FIELDS).iter_rows()]
    words = TfidfVectorizer(min_df=2, sublinear_tf=True, max_features=30_000).fit_transform(texts)
    vectors = TruncatedSVD(EMBEDDING_DIM, n_iter=3, random_state=0).fit_transform(words).astype(np.float32)
    return vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + np.float32(1e-9))


def ours(vectors: Vectors) -> Vectors:
    """Our codebooks."""
    return train_centroids(vectors, num_levels=NUM_LEVELS, codebook_size=CODEBOOK_SIZE, iterations=ITERATIONS)


def by_sklearn(vectors: Vectors) -> Vectors:
    """The peer's codebooks: k-means++ and as many rounds, on the residuals of each level."""
    from sklearn.cluster import KMeans

    residuals, levels = vectors, []
    for _ in range(NUM_LEVELS):
        means = KMeans(
            CODEBOOK_SIZE,
            n_init=1,  # pyright: ignore[reportArgumentType] - its stub knows "auto" alone
            max_iter=ITERATIONS,
            tol=0.0,
            random_state=0,
        ).fit(residuals)
        levels.append(means.cluster_centers_.astype(np.float32))
        residuals = residuals - levels[-1][means.labels_]
    return np.stack(levels)


def error_left(vectors: Vectors, centroids: Vectors, beam_size: int = 1) -> float:
    """Of all levels together."""
    codes = encode(vectors, centroids, beam_size=beam_size)
    decoded = sum(centroids[level][codes[:, level]] for level in range(len(centroids)))
    return float(((vectors - decoded) ** 2).sum() / ((vectors - vectors.mean(axis=0)) ** 2).sum())


def distinct_share(vectors: Vectors, centroids: Vectors) -> float:
    """Different codes per item: 1 if no two items share theirs."""
    return len(np.unique(encode(vectors, centroids, beam_size=1), axis=0)) / len(vectors)


def perplexities(vectors: Vectors, centroids: Vectors) -> str:
    """Codes used per level, as if all were used equally often."""
    codes = encode(vectors, centroids, beam_size=1)
    counts = (np.unique(codes[:, level], return_counts=True)[1] / len(codes) for level in range(NUM_LEVELS))
    return ", ".join(f"{np.exp(-(share * np.log(share)).sum()):.0f}" for share in counts)


def moved(vectors: Vectors, before: Vectors, after: Vectors) -> float:
    """Share of vectors whose codes differ."""
    codes = (encode(vectors, centroids, beam_size=1) for centroids in (before, after))
    return float((next(codes) != next(codes)).any(axis=1).mean())


def with_beam_in_training(vectors: Vectors, beam_size: int) -> Vectors:
    """Codebooks as FAISS trains them if it may keep a beam meanwhile."""
    from featurestore.faiss_library import load_faiss

    faiss = load_faiss()
    quantizer = faiss.ResidualQuantizer(EMBEDDING_DIM, NUM_LEVELS, CODEBOOK_SIZE.bit_length() - 1)
    quantizer.max_beam_size, quantizer.cp.niter = beam_size, ITERATIONS
    quantizer.cp.min_points_per_centroid = 1
    quantizer.train(vectors)
    return faiss.vector_to_array(quantizer.codebooks).reshape(NUM_LEVELS, CODEBOOK_SIZE, EMBEDDING_DIM)


def run(path: Path, rows: int | None, pairs: int) -> None:
    """Measure and record."""
    vectors = catalogue(path, rows)
    trained, theirs = ours(vectors), by_sklearn(vectors)
    known = vectors[np.random.default_rng(0).permutation(len(vectors))[: len(vectors) * 9 // 10]]
    start = ours(known)
    warm = {rounds: retrain_centroids(vectors, start, iterations=rounds) for rounds in (1, 2, 5, 20)}
    peer = "scikit-learn KMeans per level"
    claims = [
        compare(
            "error left of 3 x 256 codes",
            peer=peer,
            unit="of the mean's",
            ours=lambda: error_left(vectors, trained),
            theirs=lambda: error_left(vectors, theirs),
            higher_is_better=False,
            pairs=1,
        ),
        compare(
            "different codes per item",
            peer=peer,
            unit="codes",
            ours=lambda: distinct_share(vectors, trained),
            theirs=lambda: distinct_share(vectors, theirs),
            higher_is_better=True,
            pairs=1,
        ),
        compare(
            "codebooks trained",
            peer=peer,
            unit="s",
            ours=lambda: seconds(lambda: ours(vectors)),
            theirs=lambda: seconds(lambda: by_sklearn(vectors)),
            higher_is_better=False,
            pairs=pairs,
        ),
        compare(
            "ids moved by new codebooks, 2 rounds from those of 90 % of the items",
            peer="codebooks trained from the vectors alone",
            unit="of the items",
            ours=lambda: moved(vectors, start, warm[2]),
            theirs=lambda: moved(vectors, start, trained),
            higher_is_better=False,
            pairs=1,
        ),
    ]
    facts = {
        "codes in equal use, level by level": perplexities(vectors, trained),
        "the peer's": perplexities(vectors, theirs),
        "error left by beam of coding": _listed({b: error_left(vectors, trained, b) for b in (1, 5, 16)}),
        "error left by beam of training (coded with 5)": _listed(
            {b: error_left(vectors, with_beam_in_training(vectors, b), 5) for b in (1, 5, 16)}
        ),
        "ids moved by rounds": _listed({n: moved(vectors, start, after) for n, after in warm.items()}),
        "error left by rounds": _listed(
            {0: error_left(vectors, start)} | {n: error_left(vectors, after) for n, after in warm.items()}
        ),
    }
    protocol = (
        f"{len(vectors):,} items of {path.parent.name}, {EMBEDDING_DIM} dimensions, {ITERATIONS} rounds of "
        "k-means per level; errors and shares are of one run"
    )
    record("semantic_ids", protocol, claims, packages=("faiss-cpu", "numpy", "scikit-learn"), facts=facts)


def _listed(values: dict[int, float]) -> str:
    return ", ".join(f"{name}: {value:.4f}" for name, value in values.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=Path, default=Path("../shared/data/amazon14-beauty/items.parquet"))
    parser.add_argument("--rows", type=int, default=None, help="items read; all by default")
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    run(arguments.items, arguments.rows, arguments.pairs)

"""Codebooks of both quantisers at TIGER's size, trained on vectors alone: what studies compare."""

from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from featurestore.codes.codebooks import Codebooks, Origin
from featurestore.codes.residual_quantizer import encode, train_centroids
from featurestore.codes.rq_vae_options import RqVaeOptions
from featurestore.codes.rq_vae_training import train_rq_vae
from featurestore.spec import EncoderSpec

Vectors: TypeAlias = npt.NDArray[np.float32]
Codes: TypeAlias = npt.NDArray[np.int32]
Quantizer: TypeAlias = Literal["residual_quantizer", "rq_vae"]

QUANTIZERS: Final[tuple[Quantizer, ...]] = ("residual_quantizer", "rq_vae")
NUM_LEVELS: Final = 3
CODEBOOK_SIZE: Final = 256
ITERATIONS: Final = 10


def train_codebooks(
    quantizer: Quantizer, vectors: Vectors, encoder: EncoderSpec, options: RqVaeOptions | None = None
) -> Codebooks:
    """Codebooks of 3 levels of 256 codes, by the settings that ``featurestore semantic-ids`` has.

    Args:
        quantizer: K-means over residuals, or an RQ-VAE.
        vectors: (n, d) float32.
        encoder: Of the vectors.
        options: Of the RQ-VAE; TIGER's by default.

    Raises:
        InputError: If there are fewer vectors than codes of a level.
    """
    options = options or RqVaeOptions()
    if quantizer == "rq_vae":
        network, centroids = train_rq_vae(
            vectors, options, num_levels=NUM_LEVELS, codebook_size=CODEBOOK_SIZE
        )
        rounds = options.epochs
    else:
        network, rounds = None, ITERATIONS
        centroids = train_centroids(
            vectors, num_levels=NUM_LEVELS, codebook_size=CODEBOOK_SIZE, iterations=rounds
        )
    widths = None if network is None else network.widths
    origin = Origin(encoder=encoder, num_vectors=len(vectors), iterations=rounds, network=widths)
    return Codebooks(centroids, origin, network)


def codes_of(vectors: Vectors, codebooks: Codebooks) -> Codes:
    """(n, levels) int32 of (n, d) vectors, without a beam."""
    return encode(codebooks.project(vectors), codebooks.centroids, beam_size=1)

"""Lloyd's k-means over rows of a tensor, for prototypes that are made anew every epoch."""

from typing import Final

import numpy as np
import torch

_PIECE: Final = 1 << 22
"""Distances held at once: 16 MiB of float32."""


@torch.no_grad()
def k_means(
    vectors: torch.Tensor, num_clusters: int, *, num_iterations: int, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres of clusters and the cluster of every row.

    The first centres are random rows. A centre that no row is nearest to stays where it is, and of equally
    near centres the first counts. Cost: about 2 n k d operations per iteration; 22,000 rows, 1,000 clusters
    and 64 dimensions take a tenth of a second per iteration and core.

    Args:
        vectors: (n, d) float32, n ≥ 1.
        num_clusters: k ≥ 1; no more than n are made.
        num_iterations: How often centres move.
        generator: Of the first centres.

    Returns:
        (min(k, n), d) float32 centres, and (n,) int64: the centre that each row is nearest to.
    """
    num_clusters = min(num_clusters, len(vectors))
    first = generator.choice(len(vectors), num_clusters, replace=False)
    centres = vectors.detach()[torch.from_numpy(first).to(vectors.device)]  # (k, d)
    for _ in range(num_iterations):
        nearest = nearest_centres(vectors, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        counts = torch.bincount(nearest, minlength=num_clusters).unsqueeze(1)  # (k, 1)
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return centres, nearest_centres(vectors, centres)


def nearest_centres(vectors: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """(n,) int64: of (k, d) ``centres`` the nearest to each of (n, d) ``vectors``, by Euclid's distance."""
    offsets = centres.square().sum(dim=1) / 2  # (k,)
    pieces = vectors.split(max(_PIECE // len(centres), 1))
    return torch.cat([torch.addmm(offsets, piece, centres.T, alpha=-1).argmin(dim=1) for piece in pieces])

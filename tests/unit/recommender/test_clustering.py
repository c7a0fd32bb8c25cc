import numpy as np
import pytest
import torch

from recommender.graph import clustering
from recommender.graph.clustering import k_means, nearest_centres

RNG = np.random.default_rng(2)
VECTORS = RNG.standard_normal((40, 3)).astype(np.float32)


def by_hand(num_clusters: int, num_iterations: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's iterations, one row after the other."""
    first = np.random.default_rng(seed).choice(len(VECTORS), num_clusters, replace=False)
    centres = VECTORS[first].astype(np.float64)
    for step in range(num_iterations + 1):
        nearest = np.array([((row - centres) ** 2).sum(axis=1).argmin() for row in VECTORS])
        if step < num_iterations:
            for cluster in set(nearest):
                centres[cluster] = VECTORS[nearest == cluster].mean(axis=0)
    return centres, nearest


@pytest.mark.parametrize("num_iterations", [1, 6])
def test_lloyd_by_hand(num_iterations):
    centres, nearest = k_means(
        torch.from_numpy(VECTORS), 5, num_iterations=num_iterations, generator=np.random.default_rng(4)
    )
    expected = by_hand(5, num_iterations, 4)
    np.testing.assert_allclose(centres.numpy(), expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(nearest.numpy(), expected[1])


def test_pieces_do_not_matter(monkeypatch):
    vectors, centres = torch.from_numpy(VECTORS), torch.from_numpy(VECTORS[:7])
    whole = nearest_centres(vectors, centres)
    monkeypatch.setattr(clustering, "_PIECE", 20)
    torch.testing.assert_close(nearest_centres(vectors, centres), whole)


def test_no_more_clusters_than_rows():
    vectors = torch.from_numpy(VECTORS[:3])
    centres, nearest = k_means(vectors, 1000, num_iterations=2, generator=np.random.default_rng(0))
    torch.testing.assert_close(centres[nearest], vectors)
    assert sorted(nearest.tolist()) == [0, 1, 2]


def test_an_empty_cluster_stays_where_it_is():
    vectors = torch.ones(4, 2)
    centres, nearest = k_means(vectors, 2, num_iterations=3, generator=np.random.default_rng(0))
    torch.testing.assert_close(centres, torch.ones(2, 2))
    assert nearest.tolist() == [0] * 4, "of equally near centres the first counts"

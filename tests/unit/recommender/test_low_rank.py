"""Singular vectors and views against NumPy's SVD of a dense matrix."""

import numpy as np
import pytest
import torch

from recommender.graph.low_rank import LowRankViews, truncated_svd
from recommender.graph.propagation import normalized_adjacency

RNG = np.random.default_rng(3)
NUM_USERS, NUM_ITEMS = 30, 17
PAIRS = np.nonzero(RNG.random((NUM_USERS, NUM_ITEMS)) < 0.3)
GRAPH = normalized_adjacency(*PAIRS, num_users=NUM_USERS, num_items=NUM_ITEMS)
PLACES = torch.tensor([0, 7, 29]), torch.tensor([16, 2])


def dense_block() -> np.ndarray:
    """R̂."""
    block = np.zeros((NUM_USERS, NUM_ITEMS))
    block[PAIRS] = 1.0
    degrees = np.maximum(block.sum(axis=1), 1)[:, None] * np.maximum(block.sum(axis=0), 1)[None]
    return block / np.sqrt(degrees)


@pytest.mark.parametrize("rank", [1, 5, 17, 100])
def test_leading_singular_vectors(rank):
    users, values, items = truncated_svd(GRAPH, NUM_USERS, rank)
    left, expected, right = np.linalg.svd(dense_block(), full_matrices=False)
    kept = min(rank, 17)
    np.testing.assert_allclose(values, expected[:kept], atol=1e-4)
    best = left[:, :kept] * expected[:kept] @ right[:kept]
    np.testing.assert_allclose((users * values) @ items.T, best, atol=5e-3)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_views_are_products_with_each_local_layer(num_layers):
    left, values, right = np.linalg.svd(dense_block())
    best = torch.from_numpy(left[:, :4] * values[:4] @ right[:4])  # P_q
    block = torch.from_numpy(dense_block())
    embeddings = torch.from_numpy(RNG.standard_normal((47, 3))).requires_grad_()
    users, items = embeddings.split([NUM_USERS, NUM_ITEMS])
    of_users, of_items = torch.zeros(NUM_USERS, 3), torch.zeros(NUM_ITEMS, 3)
    for _ in range(num_layers):
        of_users, of_items = of_users + best @ items, of_items + best.T @ users
        users, items = block @ items, block.T @ users
    expected = torch.cat([of_users[PLACES[0]], of_items[PLACES[1]]])
    ours = embeddings.detach().float().requires_grad_()
    found = torch.cat(LowRankViews(GRAPH, NUM_USERS, 4).rows(ours, GRAPH, num_layers, PLACES))
    torch.testing.assert_close(found.double(), expected, atol=1e-2, rtol=0)
    (found[:, 0].sum() + found[1].sum()).backward()
    (expected[:, 0].sum() + expected[1].sum()).backward()
    torch.testing.assert_close(ours.grad.double(), embeddings.grad, atol=1e-2, rtol=0)

import numpy as np
import pytest
import torch
from dense_graph import check_loss_and_gradients, dense_adjacency

from recommender.models.mixgcf import Config, Network
from recommender.testing import checkerboard
from recommender.training.sampling import PairBatch

SETTINGS = {"embedding_dim": 4, "init_std": 0.5, "reg": 0.3}
CANDIDATES = np.array([[1, 3, 9], [4, 8, 10], [7, 5, 11]])


def network(**settings) -> Network:
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, None), seed=1)


def by_hand(ids: torch.Tensor, batch: PairBatch, num_layers: int, seed: int) -> torch.Tensor:
    """Every candidate is mixed with the positive, and the hardest mixture of each layer is taken."""
    layers = [ids]
    for _ in range(num_layers):
        layers.append(dense_adjacency(checkerboard()[0]) @ layers[-1])
    noise = torch.Generator().manual_seed(seed)
    shares = [torch.rand(len(batch), 1, generator=noise).double() for _ in layers]
    losses, squares = [], []
    for pair, (user, positive) in enumerate(zip(batch.users, batch.positives + 41, strict=True)):
        query = sum(layer[user] for layer in layers) / len(layers)
        hardest = []
        for layer, share in zip(layers, shares, strict=True):
            mixed = [
                share[pair] * layer[positive] + (1 - share[pair]) * layer[41 + item]
                for item in batch.negatives[pair]
            ]
            hardest.append(max(mixed, key=lambda vector: (query @ vector).item()))
        target = sum(layer[positive] for layer in layers) / len(layers)
        losses.append(-torch.log(torch.sigmoid(query @ (target - sum(hardest) / len(layers)))))
        squares += [v.square().sum() for v in (ids[user], ids[positive], hardest[0])]
    return torch.stack(losses).mean() + 0.3 * sum(squares) / (2 * len(batch))


@pytest.mark.parametrize("num_layers", [0, 2])
def test_loss_and_gradients_equal_the_formula(num_layers, monkeypatch):
    batch = PairBatch(np.array([0, 1, 0]), np.array([2, 5, 4]), CANDIDATES)
    monkeypatch.setattr("dense_graph.BATCH", batch)
    ours = network(num_layers=num_layers)
    noise = torch.Generator().manual_seed(4)
    check_loss_and_gradients(ours, lambda ids: by_hand(ids, batch, num_layers, 4), noise)


def test_what_is_chosen_does_not_depend_on_the_order_of_candidates():
    ours = network()
    losses = []
    for candidates in (CANDIDATES, CANDIDATES[:, ::-1].copy()):
        batch = PairBatch(np.array([0, 1, 0]), np.array([2, 5, 4]), candidates)
        losses.append(ours.loss(batch, torch.Generator().manual_seed(0)))
    assert torch.equal(*losses)

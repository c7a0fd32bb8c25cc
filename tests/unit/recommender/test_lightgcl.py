import numpy as np
import pytest
import torch
from dense_graph import BATCH, bpr, check_loss_and_gradients, dense_adjacency, info_nce, mean

from recommender.models.lightgcl import Config, Network
from recommender.testing import checkerboard

SETTINGS = {"embedding_dim": 4, "num_layers": 2, "init_std": 0.5, "reg": 0.3, "contrast_weight": 0.7}
NOISE = torch.Generator()


def network(**settings) -> Network:
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, None), seed=1)


def views(ids: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """E and G, from a dense SVD. The checkerboard's leading vectors are two, of equal weight."""
    dense = dense_adjacency(checkerboard()[0])
    left, values, right = np.linalg.svd(dense[:41, 41:].numpy())
    best = torch.zeros_like(dense)
    best[:41, 41:] = torch.from_numpy(left[:, :rank] * values[:rank] @ right[:rank])
    best += best.T.clone()
    local, across = [ids], [ids]
    for _ in range(2):
        across.append(best @ local[-1])
        local.append(dense @ local[-1])
    return mean(local), mean(across)


def among_all(one: torch.Tensor, other: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE of the batch's nodes, negatives all nodes of a side."""
    total = torch.zeros((), dtype=torch.float64)
    sides = (range(41), sorted({*BATCH.users})), (range(41, 62), sorted({*(BATCH.positives + 41)}))
    for side, nodes in sides:
        for node in nodes:
            cosines = torch.cosine_similarity(one[node][None], other[list(side)]) / temperature
            total = total - torch.log_softmax(cosines, dim=0)[node - side[0]] / len(nodes)
    return total


@pytest.mark.parametrize("against", ["batch", "all"])
def test_loss_and_gradients_equal_the_formula(against):
    def expected(ids: torch.Tensor) -> torch.Tensor:
        local, across = views(ids, rank=2)
        if against == "batch":
            contrast = info_nce(across, local, 41, temperature=0.5)
        else:
            contrast = among_all(across, local, 0.5)
        return bpr(local, ids, 41, reg=0.3) + 0.7 * contrast

    ours = network(svd_rank=2, temperature=0.5, contrast_against=against)
    check_loss_and_gradients(ours, expected, NOISE)


def test_without_a_contrast_it_is_lightgcn():
    def expected(ids: torch.Tensor) -> torch.Tensor:
        return bpr(views(ids, rank=1)[0], ids, 41, reg=0.3)

    check_loss_and_gradients(network(contrast_weight=0.0), expected, NOISE)


def test_edges_are_dropped_in_training_only():
    ours = network(edge_dropout=0.5)
    losses = [ours.loss(BATCH, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    plain, _ = views(ours.layer_zero.ids.detach().double(), rank=1)
    torch.testing.assert_close(torch.cat(ours.score_vectors()).double(), plain, atol=1e-6, rtol=1e-5)

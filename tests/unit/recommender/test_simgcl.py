import pytest
import torch
from dense_graph import BATCH, bpr, check_loss_and_gradients, dense_adjacency, info_nce, mean

from recommender.graph.sign_noise import add_sign_noise
from recommender.models.simgcl import Config, Network
from recommender.testing import checkerboard

SETTINGS = {"embedding_dim": 4, "num_layers": 2, "init_std": 0.5, "reg": 0.3, "contrast_weight": 0.7}


def network(**settings) -> Network:
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, None), seed=1)


def views(ids: torch.Tensor, *, epsilon: float, seed: int, first_layer: int) -> list[torch.Tensor]:
    """Means of layers without noise and twice with it, noise drawn view by view, layer by layer."""
    dense, noise = dense_adjacency(checkerboard()[0]), torch.Generator().manual_seed(seed)
    means = []
    for size in (0.0, epsilon, epsilon):
        layers = [ids]
        for _ in range(2):
            layer = dense @ layers[-1]
            if size:
                values = layer.detach().float()
                layer = layer + (add_sign_noise(values, epsilon=size, noise=noise) - values).double()
            layers.append(layer)
        means.append(mean(layers[first_layer:]))
    return means


@pytest.mark.parametrize("first_layer", [0, 1])
def test_loss_and_gradients_equal_the_formula(first_layer):
    def expected(ids: torch.Tensor) -> torch.Tensor:
        plain, one, other = views(ids, epsilon=0.2, seed=4, first_layer=first_layer)
        contrast = info_nce(one, other, 41, temperature=0.5)
        return bpr(plain, ids, 41, reg=0.3) + 0.7 * contrast

    ours = network(epsilon=0.2, temperature=0.5, first_layer=first_layer)
    check_loss_and_gradients(ours, expected, torch.Generator().manual_seed(4))


def test_without_a_contrast_the_noise_does_not_matter():
    ours = network(contrast_weight=0.0)
    losses = [ours.loss(BATCH, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert torch.equal(*losses)
    noisy = network()
    losses = [noisy.loss(BATCH, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert not torch.equal(*losses)


@pytest.mark.parametrize("first_layer", [0, 1])
def test_scores_are_of_the_mean_without_noise(first_layer):
    ours = network(first_layer=first_layer)
    plain, _, _ = views(ours.layer_zero.ids.detach().double(), epsilon=0.2, seed=0, first_layer=first_layer)
    torch.testing.assert_close(torch.cat(ours.score_vectors()).double(), plain, atol=1e-6, rtol=1e-5)
    assert (ours.score_vectors()[1][20] == 0).all() == (first_layer == 1)  # an item without edges

import pytest
import torch
from dense_graph import bpr, check_loss_and_gradients, dense_adjacency, info_nce, mean
from pydantic import ValidationError

from recommender.graph.sign_noise import add_sign_noise
from recommender.models.xsimgcl import Config, Network
from recommender.testing import checkerboard

SETTINGS = {"embedding_dim": 4, "num_layers": 3, "init_std": 0.5, "reg": 0.3, "contrast_weight": 0.7}


def noisy_layers(ids: torch.Tensor, *, epsilon: float, seed: int) -> list[torch.Tensor]:
    dense, noise = dense_adjacency(checkerboard()[0]), torch.Generator().manual_seed(seed)
    layers = [ids]
    for _ in range(3):
        layer = dense @ layers[-1]
        values = layer.detach().float()
        layers.append(layer + (add_sign_noise(values, epsilon=epsilon, noise=noise) - values).double())
    return layers


@pytest.mark.parametrize(("first_layer", "contrast_layer"), [(1, 1), (0, 2)])
def test_loss_and_gradients_equal_the_formula(first_layer, contrast_layer):
    def expected(ids: torch.Tensor) -> torch.Tensor:
        layers = noisy_layers(ids, epsilon=0.2, seed=4)
        final = mean(layers[first_layer:])
        contrast = info_nce(final, layers[contrast_layer], 41, temperature=0.5)
        return bpr(final, ids, 41, reg=0.3) + 0.7 * contrast

    layers = {"first_layer": first_layer, "contrast_layer": contrast_layer}
    config = Config(**SETTINGS, **layers, epsilon=0.2, temperature=0.5)
    network = Network(config, checkerboard()[0], (None, None), seed=1)
    check_loss_and_gradients(network, expected, torch.Generator().manual_seed(4))


def test_scores_are_without_noise():
    network = Network(Config(**SETTINGS), checkerboard()[0], (None, None), seed=1)
    layers = noisy_layers(network.layer_zero.ids.detach().double(), epsilon=0.0, seed=0)
    torch.testing.assert_close(
        torch.cat(network.score_vectors()).double(), mean(layers[1:]), atol=1e-6, rtol=1e-5
    )


def test_the_contrasted_layer_exists():
    with pytest.raises(ValidationError, match="contrast_layer=3 is above num_layers=2; lower it"):
        Config(num_layers=2, contrast_layer=3)

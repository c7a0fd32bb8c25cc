import numpy as np
import torch

from recommender.graph.sign_noise import add_sign_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_noise_has_its_length_and_stays_in_the_orthant():
    layer = torch.randn(50, 7, generator=generator())
    layer[3] = 0.0  # a node without edges
    added = add_sign_noise(layer, epsilon=0.3, noise=generator(1)) - layer
    lengths = added.norm(dim=1)
    assert lengths[3] == 0.0
    np.testing.assert_allclose(np.delete(lengths.numpy(), 3), 0.3, rtol=1e-5)
    assert (added * layer >= 0).all()
    assert (added[layer != 0] != 0).all()


def test_the_direction_is_uniform():
    ones = torch.ones(4000, 16)
    added = add_sign_noise(ones, epsilon=1.0, noise=generator(2)) - ones
    uniform = np.random.default_rng(0).random((4000, 16))
    expected = uniform / np.linalg.norm(uniform, axis=1, keepdims=True)
    steps = np.linspace(0.02, 0.98, 25)
    found = np.quantile(added.numpy(), steps)
    np.testing.assert_allclose(found, np.quantile(expected, steps), atol=0.006)


def test_noise_comes_from_its_generator_alone():
    layer = torch.randn(5, 3, generator=generator())
    first, again, other = (add_sign_noise(layer, epsilon=0.1, noise=generator(s)) for s in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(add_sign_noise(layer, epsilon=0.0, noise=generator()), layer)

import numpy as np
import pytest
import torch

from recommender.training.random_words import dropout, random_words

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest"), [(torch.uint8, 0, 255), (torch.int16, -32768, 32767)]
)
def test_every_value_is_drawn_alike(dtype, lowest, highest):
    found = random_words(torch.Size([300, 1001]), dtype, CPU, generator()).numpy().astype(np.int64)
    assert found.shape == (300, 1001)
    counts = np.histogram(found, bins=16, range=(lowest, highest + 1))[0]
    np.testing.assert_allclose(counts, found.size / 16, rtol=0.04)
    columns = np.stack([found.ravel()[place:300_000:8] for place in range(8)])
    assert np.abs(np.corrcoef(columns) - np.eye(8)).max() < 0.025  # the parts of a word are independent


def test_words_come_from_their_generator_alone():
    shape = torch.Size([5, 3])
    first, again, other = (random_words(shape, torch.int16, CPU, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert random_words(torch.Size([0, 3]), torch.uint8, CPU, generator()).shape == (0, 3)


@pytest.mark.parametrize("rate", [0.25, 0.9])
def test_dropout_keeps_the_mean(rate):
    ones = torch.ones(400, 100, requires_grad=True)
    found = dropout(ones, rate, generator())
    np.testing.assert_allclose(found.detach().unique().numpy(), [0.0, 1 / (1 - rate)], rtol=1e-3)
    assert (found == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
    assert found.mean().item() == pytest.approx(1.0, abs=0.06)
    found.sum().backward()
    assert torch.equal(ones.grad, found.detach())


def test_nothing_is_dropped_at_rate_zero():
    values = torch.randn(4, 5, generator=generator())
    assert torch.equal(dropout(values, 0.0, generator()), values)

import numpy as np
import pytest
import torch
from attention_by_hand import block_by_hand

from recommender.sequence.causal_attention import CausalBlock, drop

DIM = 6
BLOCKS = [(2, 1), (1, 3), (2, 4)]


@pytest.fixture
def block() -> CausalBlock:
    made = CausalBlock(
        DIM, num_heads=2, feedforward_dim=5, dropout_rate=0.4, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():  # the first biases and scales would hide a part that is left out
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)), alpha=0.3)
    return made


def test_a_block_equals_a_loop_over_events(block, rng):
    parts = [rng.standard_normal((length, DIM)) for count, length in BLOCKS for _ in range(count)]
    found = block(torch.from_numpy(np.concatenate(parts)).float(), BLOCKS, None)
    expected = np.concatenate([block_by_hand(block, part, num_heads=2) for part in parts])
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_weight(block, rng):
    events = torch.from_numpy(rng.standard_normal((13, DIM))).float()
    block(events, BLOCKS, torch.Generator().manual_seed(0)).square().sum().backward()
    for name, weight in block.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_first_weights_come_from_the_generator_alone():
    made = [
        CausalBlock(
            DIM,
            num_heads=1,
            feedforward_dim=4,
            dropout_rate=0.0,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (5, 5, 6)
    ]
    first, again, other = (torch.cat([w.flatten() for w in block.parameters()]) for block in made)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_values_are_dropped_from_both_parts_while_there_is_noise(block, rng):
    events = torch.from_numpy(rng.standard_normal((13, DIM))).float()
    still = block(events, BLOCKS, None)
    first, again, other = (block(events, BLOCKS, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    draws = [block(events, BLOCKS, torch.Generator().manual_seed(seed)).detach() for seed in range(500)]
    # A number stays as it is where both parts were dropped.
    unmoved = torch.stack(draws).eq(events).float().mean().item()
    assert unmoved == pytest.approx(0.4**2, abs=0.01)
    assert not still.eq(events).any()


def test_nothing_is_dropped_without_noise_or_chance():
    ones = torch.ones(3)
    assert drop(ones, 0.3, None) is ones
    assert drop(ones, 0.0, torch.Generator()) is ones

"""Hyperbolic space in float32: near the origin, far from it, and its gradients."""

import numpy as np
import pytest
import torch
from baselines_by_hand import exp_by_hand, log_by_hand, product_by_hand

from recommender.session.lorentz import (
    LONGEST,
    STRAIGHT,
    distances,
    exp_origin,
    gaps,
    lifted,
    log_origin,
    mirrored,
    onto,
)
from recommender.session.lorentz_attention import attend

LENGTHS = (0.0, 1e-12, 1e-7, 1e-3, 0.5, 3.0, STRAIGHT)


def directions(count: int = 4, dim: int = 8) -> torch.Tensor:
    drawn = torch.randn(count, dim, generator=torch.Generator().manual_seed(0))
    return drawn / drawn.norm(dim=1, keepdim=True)


def off_the_model(points: torch.Tensor) -> float:
    """How far <x, x>_L is from -1, beside the squares that it is the difference of."""
    exact = points.detach().double()
    square = exact[..., 0].square() - exact[..., 1:].square().sum(dim=-1)
    return float(((square - 1).abs() / exact[..., 0].square()).max())


@pytest.mark.parametrize("length", LENGTHS)
def test_maps_equal_the_formulas_and_undo_each_other(length):
    tangents = directions() * length
    points = exp_origin(tangents)
    for tangent, point in zip(tangents.double().numpy(), points, strict=True):
        np.testing.assert_allclose(point.numpy(), exp_by_hand(tangent), rtol=1e-5, atol=1e-12)
    torch.testing.assert_close(log_origin(points), tangents, rtol=1e-5, atol=1e-12)
    assert off_the_model(points) < 1e-6


@pytest.mark.parametrize(
    ("length", "kept"), [(4.5, 4 + 1 / 3), (6.0, 4 + 2 / 3), (20.0, 4 + 16 / 17), (1e4, 5.0), (1e15, 5.0)]
)
def test_long_vectors_are_shortened_and_none_leaves_the_rim(length, kept):
    points = exp_origin(directions() * length)
    assert torch.isfinite(points).all()
    assert off_the_model(points) < 1e-6
    assert kept <= LONGEST
    torch.testing.assert_close(log_origin(points), directions() * kept, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [3.9, 4.1, 6.0, 20.0, 100.0])
def test_a_gradient_leads_back_from_any_length(length):
    tangents = (directions() * length).requires_grad_()
    origin = lifted(torch.zeros(4, 8))
    distances(origin, exp_origin(tangents)).sum().backward()
    assert tangents.grad is not None
    inward = (tangents.grad * directions()).sum(dim=1)
    slope = 1.0 if length < STRAIGHT else (1 + length - STRAIGHT) ** -2
    torch.testing.assert_close(inward, torch.full((4,), slope), rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize(("length", "error"), [(2.0, 1e-5), (STRAIGHT, 5e-4), (4.9, 3e-3)])
def test_the_error_of_a_score_far_out_is_as_told(length, error):
    """Of points near each other, from exact ones: products of float32 are what is ranked by."""
    first = directions(64).double() * length
    second = first + 0.02 * directions(64).flip(0).double()
    exact = (mirrored(exp_origin(first)) * exp_origin(second)).sum(dim=1)
    found = (mirrored(exp_origin(first.float())) * exp_origin(second.float())).sum(dim=1)
    assert (found.double() - exact).abs().max() < error


@pytest.mark.parametrize("length", [*LENGTHS, 20.0, 1e10])
def test_gradients_are_finite_everywhere(length):
    tangents = (directions() * length).requires_grad_()
    points = exp_origin(tangents)
    others = exp_origin(directions(4).flip(0))
    loss = distances(points, others).sum() + distances(points, points).sum() + gaps(points, others).sum()
    (loss + log_origin(onto(0.5 * points + 0.5 * others)).square().sum()).backward()
    assert tangents.grad is not None
    assert torch.isfinite(tangents.grad).all()


def test_the_gradient_at_the_origin_is_that_of_the_identity():
    tangents = torch.zeros(1, 3, requires_grad=True)
    wanted = torch.tensor([[0.0, 2.0, -1.0, 3.0]])
    (exp_origin(tangents) * wanted).sum().backward()
    torch.testing.assert_close(tangents.grad, wanted[:, 1:])
    points = lifted(torch.zeros(1, 3)).requires_grad_()
    (log_origin(points) * wanted[:, 1:]).sum().backward()
    torch.testing.assert_close(points.grad, torch.tensor([[0.0, 2.0, -1.0, 3.0]]))


@pytest.mark.parametrize("length", [0.1, 2.0, STRAIGHT])
def test_distances_equal_arcosh_in_float64(length):
    first, second = exp_origin(directions() * length), exp_origin(directions().flip(0) * 0.8)
    for x, y, found in zip(first, second, distances(first, second), strict=True):
        x, y = x.double().numpy(), y.double().numpy()  # noqa: PLW2901
        assert found.item() == pytest.approx(np.arccosh(-product_by_hand(x, y)), rel=1e-3)
        inner = float(mirrored(torch.from_numpy(x)) @ torch.from_numpy(y))
        assert inner == pytest.approx(product_by_hand(x, y))


def test_points_that_are_one_or_nearly_have_small_distances():
    points = exp_origin(directions() * 4)
    near = exp_origin(directions() * 4 + 1e-5)
    assert (distances(points, points) < 0.002).all()
    assert (distances(points, near) < 0.01).all()
    assert (gaps(points, points) == 0).all()


def test_a_distance_from_the_origin_is_the_length_of_the_vector():
    tangents = directions() * torch.tensor([[0.2], [1.0], [3.0], [3.9]])
    origin = lifted(torch.zeros(4, 8))
    torch.testing.assert_close(
        distances(origin, exp_origin(tangents)), tangents.norm(dim=1), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("length", LENGTHS)
def test_centroids_stay_on_the_model(length):
    points = exp_origin(directions(6) * length)
    lines = torch.tensor([0, 0, 0, 1, 1, 2])
    logits = torch.tensor([0.0, 3.0, -500.0, 500.0, 500.0, -1e4])
    found = attend(logits, points, lines, 3)
    assert off_the_model(found) < 1e-5
    torch.testing.assert_close(found[2], points[5], rtol=1e-4, atol=1e-5)
    both = (0.5 * points[3] + 0.5 * points[4]).double().numpy()
    expected = both / np.sqrt(-product_by_hand(both, both))
    np.testing.assert_allclose(found[1].numpy(), expected, rtol=1e-3, atol=1e-5)


def test_logarithms_by_hand_agree():
    point = exp_by_hand(np.array([0.3, -0.4]))
    np.testing.assert_allclose(log_by_hand(point), [0.3, -0.4])

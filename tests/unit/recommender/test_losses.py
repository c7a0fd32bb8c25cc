"""Every loss against its formula, written out with Python numbers."""

import math

import numpy as np
import pytest
import torch

from recommender.training import losses

RNG = np.random.default_rng(5)
POSITIVE = torch.from_numpy(RNG.standard_normal(4)).float()
NEGATIVES = torch.from_numpy(RNG.standard_normal((4, 3))).float()
LEFT, RIGHT = (torch.from_numpy(RNG.standard_normal((4, 3))).float() for _ in range(2))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def lines() -> list[tuple[float, list[float]]]:
    return list(zip(POSITIVE.tolist(), NEGATIVES.tolist(), strict=True))


def test_bpr():
    expected = np.mean([-math.log(sigmoid(p - n[0])) for p, n in lines()])
    assert losses.bpr_loss(POSITIVE, NEGATIVES[:, 0]).item() == pytest.approx(expected, rel=1e-5)


def test_bce():
    ones = np.mean([-math.log(sigmoid(p)) for p, _ in lines()])
    zeros = np.mean([-math.log(1 - sigmoid(x)) for _, n in lines() for x in n])
    assert losses.bce_loss(POSITIVE, NEGATIVES).item() == pytest.approx(ones + zeros, rel=1e-5)


def test_sampled_softmax():
    expected = np.mean([-math.log(math.exp(p) / sum(map(math.exp, [p, *n]))) for p, n in lines()])
    assert losses.sampled_softmax_loss(POSITIVE, NEGATIVES).item() == pytest.approx(expected, rel=1e-5)


def test_full_softmax():
    targets = torch.tensor([2, 0, 1, 1])
    expected = np.mean(
        [
            -math.log(math.exp(n[t]) / sum(map(math.exp, n)))
            for (_, n), t in zip(lines(), targets, strict=True)
        ]
    )
    assert losses.full_softmax_loss(NEGATIVES, targets).item() == pytest.approx(expected, rel=1e-5)


def test_cosine_contrastive():
    hinge = np.mean([max(0.0, x - 0.3) for _, n in lines() for x in n])
    expected = np.mean([1 - p for p, _ in lines()]) + 2.5 * hinge
    found = losses.cosine_contrastive_loss(POSITIVE, NEGATIVES, margin=0.3, negative_weight=2.5)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_alignment_and_uniformity():
    expected = np.mean([2 - 2 * cosine(a, b) for a, b in zip(LEFT, RIGHT, strict=True)])
    assert losses.alignment_loss(LEFT, RIGHT).item() == pytest.approx(expected, rel=1e-5)
    pairs = [(LEFT[i], LEFT[j]) for i in range(4) for j in range(i)]
    expected = math.log(np.mean([math.exp(-2 * (2 - 2 * cosine(a, b))) for a, b in pairs]))
    assert losses.uniformity_loss(LEFT).item() == pytest.approx(expected, rel=1e-4)
    assert losses.uniformity_loss(LEFT[:1]).item() == 0.0


def test_gradients_of_uniformity_in_pieces(monkeypatch):
    monkeypatch.setattr(losses, "_COSINES_AT_A_TIME", 9)  # two rows of four at a time
    ours, theirs = LEFT.clone().requires_grad_(), LEFT.double().requires_grad_()
    (3 * losses.uniformity_loss(ours)).backward()
    rows = theirs / theirs.norm(dim=1, keepdim=True)
    pairs = [(-2 * (rows[i] - rows[j]).square().sum()).exp() for i in range(4) for j in range(i)]
    (3 * torch.stack(pairs).mean().log()).backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-6, rtol=1e-5)


def test_l2_penalty():
    assert losses.l2_penalty(LEFT, 2).item() == pytest.approx(float((LEFT**2).sum()) / 4, rel=1e-5)

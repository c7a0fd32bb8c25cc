import numpy as np
import pytest
import torch

from recommender.training import full_softmax
from recommender.training.full_softmax import catalogue_cross_entropy
from recommender.training.losses import full_softmax_loss

SHAPES = [(1, 1, 1), (7, 5, 3), (40, 23, 8)]


def tables(num_positions: int, num_items: int, dim: int, size: float = 1.0) -> list[torch.Tensor]:
    rng = np.random.default_rng(2)
    states, items = (
        size * rng.standard_normal((n, dim)).astype(np.float32) for n in (num_positions, num_items)
    )
    targets = rng.integers(num_items, size=num_positions)
    return [torch.from_numpy(array) for array in (states, items, targets)]


def loss_by_hand(states: np.ndarray, items: np.ndarray, targets: np.ndarray) -> float:
    losses = []
    for state, target in zip(states, targets, strict=True):
        logits = [float(state @ item) for item in items]
        losses.append(np.log(sum(np.exp(z - max(logits)) for z in logits)) + max(logits) - logits[target])
    return float(np.mean(losses))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("at_a_time", [1, 50, 800_000])
def test_loss_and_gradients_equal_the_dense_formula(shape, at_a_time, monkeypatch):
    monkeypatch.setitem(full_softmax._LOGITS_AT_A_TIME, "cpu", at_a_time)
    states, items, targets = tables(*shape)
    ours = [states.clone().requires_grad_(), items.clone().requires_grad_()]
    loss = catalogue_cross_entropy(*ours, targets)
    (3.0 * loss).backward()
    exact = [states.double().requires_grad_(), items.double().requires_grad_()]
    (3.0 * full_softmax_loss(exact[0] @ exact[1].T, targets)).backward()
    assert loss.item() == pytest.approx(
        loss_by_hand(states.numpy(), items.numpy(), targets.numpy()), abs=1e-5
    )
    for one, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(one.grad, other.grad.float(), rtol=1e-4, atol=1e-6)


def test_large_logits_stay_finite():
    states, items, targets = tables(9, 30, 8, size=40.0)
    states.requires_grad_()
    loss = catalogue_cross_entropy(states, items, targets)
    loss.backward()
    assert loss.item() == pytest.approx(
        full_softmax_loss(states.detach().double() @ items.double().T, targets).item(), rel=1e-5
    )
    assert torch.isfinite(states.grad).all()


def test_gradients_flow_on_to_what_the_tables_were_made_of():
    states, items, targets = tables(6, 9, 4)
    weight = torch.eye(4).requires_grad_()
    catalogue_cross_entropy(states @ weight, items @ weight, targets).backward()
    found = weight.grad.clone()
    weight.grad = None
    full_softmax_loss((states @ weight) @ (items @ weight).T, targets).backward()
    torch.testing.assert_close(found, weight.grad, rtol=1e-4, atol=1e-6)

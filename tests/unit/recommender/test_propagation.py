import numpy as np
import torch

from recommender.graph.propagation import Propagation, layer_mean, layers, normalized_adjacency

USERS = np.array([0, 0, 1, 2, 2])
ITEMS = np.array([0, 1, 1, 0, 3])
SIZES = {"num_users": 4, "num_items": 4}  # user 3 and item 2 have no edge


def dense_adjacency() -> torch.Tensor:
    full = torch.zeros(8, 8, dtype=torch.float64)
    full[USERS, ITEMS + 4] = 1.0
    full += full.T.clone()
    degree = full.sum(dim=1).clamp(min=1.0)
    return full / torch.sqrt(degree[:, None] * degree[None, :])


def naive_mean(embeddings: torch.Tensor, num_layers: int) -> torch.Tensor:
    layers = [embeddings]
    for _ in range(num_layers):
        layers.append(dense_adjacency() @ layers[-1])
    return torch.stack(layers).mean(dim=0)


def test_product_equals_the_dense_one():
    adjacency = normalized_adjacency(USERS, ITEMS, **SIZES)
    product = adjacency.matmul(torch.eye(8))
    torch.testing.assert_close(product.double(), dense_adjacency())
    assert adjacency.num_nodes == 8


def test_layer_mean_equals_stacking_the_layers():
    adjacency = normalized_adjacency(USERS, ITEMS, **SIZES)
    embeddings = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    before = embeddings.clone()
    for num_layers in range(5):
        mean = layer_mean(embeddings, adjacency, num_layers)
        torch.testing.assert_close(
            mean.double(), naive_mean(before.double(), num_layers), atol=1e-6, rtol=1e-5
        )
    torch.testing.assert_close(embeddings, before)


def test_a_node_without_edges_keeps_only_its_own_share():
    adjacency = normalized_adjacency(USERS, ITEMS, **SIZES)
    mean = layer_mean(torch.ones(8, 2), adjacency, 3)
    torch.testing.assert_close(mean[3], torch.full((2,), 0.25))
    torch.testing.assert_close(mean[6], torch.full((2,), 0.25))


def test_gradients_equal_autograds_own_with_repeated_rows():
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(8, 3, generator=generator)
    rows = torch.tensor([0, 5, 5, 2, 7, 0])
    weights = torch.randn(2, 6, 3, generator=generator)
    for num_layers in (0, 1, 3):
        ours = start.clone().requires_grad_()
        propagation = Propagation(normalized_adjacency(USERS, ITEMS, **SIZES), num_layers)
        for _ in range(2):  # the second pass works in the first one's memory
            ours.grad = None
            means, firsts = propagation.rows(ours, rows)
            (means.square() * weights[0] + firsts * weights[1]).sum().backward()
        theirs = start.double().clone().requires_grad_()
        expected = naive_mean(theirs, num_layers)[rows]
        (expected.square() * weights[0] + theirs[rows] * weights[1]).sum().backward()
        torch.testing.assert_close(means.detach().double(), expected.detach(), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-5)


def test_gradients_add_up_over_two_backward_passes():
    ours = torch.ones(8, 2).requires_grad_()
    propagation = Propagation(normalized_adjacency(USERS, ITEMS, **SIZES), 2)
    rows = torch.arange(8)
    propagation.rows(ours, rows)[0].sum().backward()
    once = ours.grad.clone()
    propagation.rows(ours, rows)[0].sum().backward()
    torch.testing.assert_close(ours.grad, 2 * once)


def test_layers_are_perturbed_before_they_are_propagated():
    adjacency = normalized_adjacency(USERS, ITEMS, **SIZES)
    start = torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
    weights = torch.randn(3, 8, 3, generator=torch.Generator().manual_seed(3))
    ours, theirs = start.clone().requires_grad_(), start.double().clone().requires_grad_()
    found = layers(ours, adjacency, 2, lambda layer: 2 * layer + 1)
    first = 2 * (dense_adjacency() @ theirs) + 1
    expected = [theirs, first, 2 * (dense_adjacency() @ first) + 1]
    for layer, other, weight in zip(found, expected, weights, strict=True):
        torch.testing.assert_close(layer.double(), other, atol=1e-6, rtol=1e-5)
        (layer * weight).sum().backward(retain_graph=True)
        (other * weight.double()).sum().backward(retain_graph=True)
    torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-5)
    assert len(layers(start, adjacency, 0)) == 1

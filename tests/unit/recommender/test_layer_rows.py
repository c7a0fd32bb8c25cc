"""Fused readings of several views against autograd over dense float64 matrices."""

import numpy as np
import pytest
import torch

from recommender.graph.layer_rows import (
    Reading,
    mean_of_layers,
    only_layer,
    read_layers,
    weighted_layers,
)
from recommender.graph.propagation import Adjacency, normalized_adjacency

USERS = np.array([0, 0, 1, 2, 2])
ITEMS = np.array([0, 1, 1, 0, 3])
SIZES = {"num_users": 4, "num_items": 4}
ROWS = torch.tensor([0, 5, 5, 2, 7, 0])
NODES = torch.tensor([1, 3, 4])


def graph(*kept: int) -> Adjacency:
    chosen = list(kept) or slice(None)
    return normalized_adjacency(USERS[chosen], ITEMS[chosen], **SIZES)


def dense(adjacency: Adjacency) -> torch.Tensor:
    return adjacency.matmul(torch.eye(8)).double()


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_weights_of_layers():
    assert mean_of_layers(3) == (0.25,) * 4
    assert mean_of_layers(2, first=1) == (0.0, 0.5, 0.5)
    assert mean_of_layers(0) == (1.0,)
    assert only_layer(1, 2) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("kept", [[(), ()], [(0, 1, 3), (1, 2, 4)]], ids=["one graph", "a graph per layer"])
def test_views_equal_autograd_over_dense_layers(kept):
    graphs = [graph(*edges) for edges in kept]
    start, shift = drawn(8, 3, seed=0), drawn(8, 3, seed=1)
    plain_sums, noisy_sums = ((0.5, 0.0, 2.0), (1.0, 0.0, 0.0)), ((0.0, 1.0, -0.5),)
    ours = start.clone().requires_grad_()
    readings = [Reading(ROWS, plain_sums), Reading(NODES, noisy_sums, lambda layer: layer + shift)]
    found = read_layers(ours, graphs, readings)

    theirs = start.double().requires_grad_()
    expected = []
    for rows, sums, added in ((ROWS, plain_sums, 0.0), (NODES, noisy_sums, shift.double())):
        layers = [theirs]
        for adjacency in graphs:
            layers.append(dense(adjacency) @ layers[-1] + added)
        expected += [sum(w * e for w, e in zip(of, layers, strict=True))[rows] for of in sums]

    assert len(found) == len(expected) == 3
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(one.detach().double(), other.detach(), atol=1e-6, rtol=1e-5)
        scale = drawn(*one.shape, seed=10 + number)
        (one.square() * scale).sum().backward(retain_graph=True)
        (other.square() * scale.double()).sum().backward(retain_graph=True)
    torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-5)


def test_one_backward_pass_serves_all_sums():
    graphs = [graph()] * 2
    ours = drawn(8, 3, seed=0).requires_grad_()
    mean = mean_of_layers(2)
    found = read_layers(ours, graphs, [Reading(ROWS, (mean,)), Reading(ROWS, (mean,))])
    sum(part.sum() for part in found).backward()
    theirs = ours.detach().clone().requires_grad_()
    (2 * read_layers(theirs, graphs, [Reading(ROWS, (mean,))])[0].sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_no_layers_are_a_gather():
    ours = drawn(8, 3, seed=0).requires_grad_()
    (found,) = read_layers(ours, [], [Reading(ROWS, ((1.0,),))])
    torch.testing.assert_close(found, ours[ROWS])
    found.sum().backward()
    torch.testing.assert_close(ours.grad[:, 0], torch.bincount(ROWS, minlength=8).float())


def test_weighted_layers_are_the_readings_of_all_nodes():
    start = drawn(8, 3, seed=0)
    for weights in ((1.0,), (0.0, 1.0), (0.2, 0.0, 0.5, -1.0)):
        found = weighted_layers(start, graph(), weights)
        every = Reading(torch.arange(8), (weights,))
        (expected,) = read_layers(start, [graph()] * (len(weights) - 1), [every])
        torch.testing.assert_close(found, expected)
        assert found.data_ptr() != start.data_ptr()

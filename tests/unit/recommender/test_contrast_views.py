import numpy as np
import pytest
import torch
from dense_graph import dense_adjacency, mean

from recommender.graph.views import cut_graphs
from recommender.hgpo.contrast_views import ContrastViews, ViewConfig
from recommender.testing import checkerboard

ROWS, OTHERS = torch.tensor([0, 3, 41]), torch.tensor([41, 50, 3, 3])
IDS = torch.randn(62, 4, generator=torch.Generator().manual_seed(0))


def layers_of(graphs: list[torch.Tensor]) -> list[torch.Tensor]:
    found = [IDS.double()]
    for graph in graphs:
        found.append(graph @ found[-1])
    return found


@pytest.mark.parametrize("augmentation", ["edge_drop", "random_walk"])
def test_two_views_are_means_of_layers_over_two_cuts(augmentation):
    data = checkerboard()[0]
    ours = ContrastViews(ViewConfig(view_layers=2, drop_rate=0.4, augmentation=augmentation), data)
    ours.begin_epoch(np.random.default_rng(5), torch.device("cpu"))
    found = ours.read(IDS, ROWS, OTHERS)
    generator = np.random.default_rng(5)
    for rows, view in zip((ROWS, OTHERS), found, strict=True):
        graphs = cut_graphs(data, augmentation, drop_rate=0.4, num_layers=2, generator=generator)
        dense = [graph.matmul(torch.eye(62)).double() for graph in graphs]
        torch.testing.assert_close(view.double(), mean(layers_of(dense))[rows], atol=1e-5, rtol=1e-5)


def test_layers_are_those_of_the_whole_graph():
    data = checkerboard()[0]
    ours = ContrastViews(ViewConfig(positive="layer", positive_layer=2), data)
    generator = np.random.default_rng(5)
    before = generator.bit_generator.state
    ours.begin_epoch(generator, torch.device("cpu"))
    assert generator.bit_generator.state == before, "nothing is drawn for it"
    near, far = ours.read(IDS, ROWS, OTHERS)
    torch.testing.assert_close(near, IDS[ROWS])
    expected = layers_of([dense_adjacency(data)] * 2)[2][OTHERS]
    torch.testing.assert_close(far.double(), expected, atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_autograd():
    data = checkerboard()[0]
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(3, 4, generator=generator), torch.randn(4, 4, generator=generator)
    for positive in ("second_view", "layer"):
        ids = IDS.clone().requires_grad_()
        ours = ContrastViews(
            ViewConfig(positive=positive, view_layers=2), data
        )  # not cut yet: the whole graph
        sum((w * v).sum() for w, v in zip(weights, ours.read(ids, ROWS, OTHERS), strict=True)).backward()
        theirs, dense = IDS.double().requires_grad_(), dense_adjacency(data)
        layers = [theirs, dense @ theirs, dense @ (dense @ theirs)]
        views = [mean(layers)] * 2 if positive == "second_view" else [layers[0], layers[2]]
        total = (weights[0] * views[0][ROWS]).sum() + (weights[1] * views[1][OTHERS]).sum()
        total.backward()
        torch.testing.assert_close(ids.grad.double(), theirs.grad, atol=1e-5, rtol=1e-4)

import numpy as np
import pytest
import torch
from dense_graph import bpr, check_loss_and_gradients, dense_adjacency, info_nce, mean

from recommender.graph.views import cut_graphs
from recommender.models import lightgcn
from recommender.models.sgl import Config, Network
from recommender.testing import checkerboard

SETTINGS = {"embedding_dim": 4, "num_layers": 2, "init_std": 0.5, "reg": 0.3}
AUGMENTATIONS = ("edge_drop", "node_drop", "random_walk")


def network(**settings) -> Network:
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, None), seed=1)


def cut(augmentation, generator: np.random.Generator) -> list[torch.Tensor]:
    graphs = cut_graphs(checkerboard()[0], augmentation, drop_rate=0.4, num_layers=2, generator=generator)
    return [graph.matmul(torch.eye(graph.num_nodes)).double() for graph in graphs]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_loss_and_gradients_equal_the_formula(augmentation):
    def expected(ids: torch.Tensor) -> torch.Tensor:
        generator, dense = np.random.default_rng(3), dense_adjacency(checkerboard()[0])
        means = []
        for first, second in ([dense, dense], cut(augmentation, generator), cut(augmentation, generator)):
            means.append(mean([ids, first @ ids, second @ (first @ ids)]))
        contrast = info_nce(means[1], means[2], 41, temperature=0.5)
        return bpr(means[0], ids, 41, reg=0.3) + 0.7 * contrast

    ours = network(augmentation=augmentation, drop_rate=0.4, temperature=0.5, contrast_weight=0.7)
    next(ours.epoch(np.random.default_rng(3)))
    check_loss_and_gradients(ours, expected, torch.Generator())


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_cuts_are_symmetric_and_normalised_by_what_is_left(augmentation):
    full = dense_adjacency(checkerboard()[0]) > 0
    first, second = cut(augmentation, np.random.default_rng(0))
    assert torch.equal(first, second) == (augmentation != "random_walk")
    kept = first > 0
    assert (kept <= full).all()
    expected = 0.6 if augmentation != "node_drop" else 0.36
    assert (kept.sum() / full.sum()).item() == pytest.approx(expected, abs=0.1)
    degrees = kept.sum(dim=1).clamp(min=1).double()
    torch.testing.assert_close(first, kept / torch.sqrt(degrees[:, None] * degrees[None, :]))
    torch.testing.assert_close(first, first.T)


def test_a_dropped_node_loses_all_edges():
    degrees = [(graph > 0).sum(dim=1) for graph in cut("node_drop", np.random.default_rng(0))]
    lost = (degrees[0][:40] == 0).float().mean().item()
    assert lost == pytest.approx(0.4, abs=0.15)


def test_every_epoch_cuts_anew_from_its_generator():
    ours = network()
    generator = np.random.default_rng(0)
    views = []
    for _ in range(2):
        ours.epoch(generator)
        views += [graphs[0] for graphs in ours._views]
    for number, view in enumerate(views):
        others = views[:number]
        assert not any(torch.equal(view.columns, other.columns) for other in others)
    again = network()
    again.epoch(np.random.default_rng(0))
    assert torch.equal(again._views[0][0].columns, views[0].columns)


def test_scores_are_lightgcns():
    ours = network()
    ours.epoch(np.random.default_rng(0))
    theirs = lightgcn.Network(lightgcn.Config(**SETTINGS), checkerboard()[0], (None, None), seed=1)
    for one, other in zip(ours.score_vectors(), theirs.score_vectors(), strict=True):
        torch.testing.assert_close(one, other)

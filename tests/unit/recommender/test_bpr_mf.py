import torch
from dense_graph import bpr, check_loss_and_gradients

from recommender.models.bpr_mf import Config, Network
from recommender.testing import checkerboard


def test_loss_and_gradients_equal_the_formula():
    data, _ = checkerboard()
    network = Network(Config(embedding_dim=4, reg=0.7, init_std=0.5), data, (None, None), seed=1)
    check_loss_and_gradients(network, lambda ids: bpr(ids, ids, 41, reg=0.7), torch.Generator())


def test_scores_are_products_of_embeddings():
    data, _ = checkerboard()
    network = Network(Config(embedding_dim=4), data, (None, None), seed=1)
    users, items = network.score_vectors()
    torch.testing.assert_close(torch.cat([users, items]), network.layer_zero.ids.detach())
    users.zero_()
    assert network.layer_zero.ids.abs().min() > 0

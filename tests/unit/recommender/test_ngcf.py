import torch
from dense_graph import BATCH, bpr, check_loss_and_gradients, dense_adjacency

from recommender.models.ngcf import Config, Network
from recommender.testing import checkerboard

SETTINGS = {"embedding_dim": 4, "num_layers": 2, "init_std": 0.5, "reg": 0.3}


def network(**settings) -> Network:
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, None), seed=1)


def final_vectors(ours: Network, ids: torch.Tensor) -> torch.Tensor:
    """Eq. 7 and 9 node by node: a message of each neighbour, and the node's own."""
    dense, layers = dense_adjacency(checkerboard()[0]), [ids]
    for of_sum, of_product in zip(ours.sum_layers, ours.product_layers, strict=True):
        weights = [p.detach().double() for p in (*of_sum.parameters(), *of_product.parameters())]
        own, rows = layers[-1], []
        for node, embedding in enumerate(own):
            message = weights[0] @ embedding + weights[1] + weights[3]
            for neighbour in torch.nonzero(dense[node]).ravel():
                linear = weights[0] @ own[neighbour]
                message = message + dense[node, neighbour] * (
                    linear + weights[2] @ (own[neighbour] * embedding)
                )
            rows.append(torch.where(message > 0, message, 0.2 * message))
        layers.append(torch.stack(rows))
    parts = [layers[0], *(layer / layer.norm(dim=1, keepdim=True) for layer in layers[1:])]
    return torch.cat(parts, dim=1)


def test_loss_and_gradients_equal_the_formula():
    ours = network(message_dropout=0.0)
    check_loss_and_gradients(
        ours, lambda ids: bpr(final_vectors(ours, ids), ids, 41, reg=0.3), torch.Generator()
    )
    for name, weight in ours.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_scores_are_without_dropout():
    ours = network(message_dropout=0.5)
    users, items = ours.score_vectors()
    assert users.shape == (41, 12)
    expected = final_vectors(ours, ours.layer_zero.ids.detach().double())
    torch.testing.assert_close(torch.cat([users, items]).double(), expected, atol=1e-6, rtol=1e-5)


def test_dropout_draws_from_its_generator():
    ours = network(message_dropout=0.5)
    losses = [ours.loss(BATCH, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    ours = network(message_dropout=0.0)
    losses = [ours.loss(BATCH, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert torch.equal(*losses)


def test_zero_layers_are_matrix_factorisation():
    ours = network(num_layers=0)
    check_loss_and_gradients(ours, lambda ids: bpr(ids, ids, 41, reg=0.3), torch.Generator())

"""A checkerboard's graph and a model's formulas, slowly: dense float64, every pair in a loop."""

import numpy as np
import torch

from recommender.data import TrainingData
from recommender.training.sampling import PairBatch

BATCH = PairBatch(np.array([0, 1, 0]), np.array([2, 5, 4]), np.array([[1], [4], [7]]))


def dense_adjacency(data: TrainingData) -> torch.Tensor:
    """Â of all training pairs."""
    num_nodes = data.num_users + data.num_items
    full = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    full[data.train_users, data.train_items + data.num_users] = 1.0
    full += full.T.clone()
    degrees = full.sum(dim=1).clamp(min=1.0)
    return full / torch.sqrt(degrees[:, None] * degrees[None, :])


def bpr(final: torch.Tensor, first: torch.Tensor, num_users: int, *, reg: float) -> torch.Tensor:
    """BPR + reg · L2 of ``BATCH``."""
    losses, squares = [], []
    triples = zip(BATCH.users, BATCH.positives, BATCH.negatives[:, 0], strict=True)
    for user, positive, negative in triples:
        nodes = (user, num_users + positive, num_users + negative)
        losses.append(-torch.log(torch.sigmoid(final[nodes[0]] @ (final[nodes[1]] - final[nodes[2]]))))
        squares += [first[node].square().sum() for node in nodes]
    return torch.stack(losses).mean() + reg * torch.stack(squares).sum() / (2 * len(losses))


def info_nce(one: torch.Tensor, other: torch.Tensor, num_users: int, *, temperature: float) -> torch.Tensor:
    """Of the users and of the positives of ``BATCH``, each once."""
    total = torch.zeros((), dtype=torch.float64)
    for nodes in (sorted({*BATCH.users}), sorted({*(BATCH.positives + num_users)})):
        for node in nodes:
            cosines = [torch.cosine_similarity(one[node], other[o], dim=0) / temperature for o in nodes]
            own = cosines[nodes.index(node)]
            total = total - torch.log(own.exp() / torch.stack(cosines).exp().sum()) / len(nodes)
    return total


def check_loss_and_gradients(network, expected_of, noise: torch.Generator) -> None:
    """The loss of ``BATCH`` and its gradient by the ID embeddings are those of a formula of them."""
    loss = network.loss(BATCH, noise)
    loss.backward()
    first = network.layer_zero.ids.detach().double().requires_grad_()
    expected = expected_of(first)
    expected.backward()
    torch.testing.assert_close(loss.detach().double(), expected.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.layer_zero.ids.grad.double(), first.grad, atol=1e-5, rtol=1e-4)


def mean(layers: list[torch.Tensor]) -> torch.Tensor:
    """The mean of layers."""
    return torch.stack(layers).mean(dim=0)

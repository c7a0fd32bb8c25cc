import numpy as np
import torch
from dense_graph import BATCH, check_loss_and_gradients

from recommender.models.simplex import Config, Network
from recommender.testing import COLD_USER, checkerboard

SETTINGS = {"embedding_dim": 4, "init_std": 0.5, "own_weight": 0.3}


def network(**settings) -> Network:
    ours = Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, None), seed=1)
    with torch.no_grad():
        ours.weight += torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
    return ours


def user_vector(ours: Network, ids: torch.Tensor, user: int) -> torch.Tensor:
    history = checkerboard()[0].seen.of(user)
    mean = sum(ids[41 + item] for item in history) / len(history)
    return 0.3 * ids[user] + 0.7 * ours.weight.detach().double() @ mean


def test_loss_and_gradients_equal_the_formula():
    ours = network(num_negatives=12, margin=-0.2, negative_weight=5.0, reg=0.3)
    drawn = torch.randperm(21, generator=torch.Generator().manual_seed(4))[:12].tolist()
    assert any(item in checkerboard()[0].seen.of(0) for item in drawn)

    def expected(ids: torch.Tensor) -> torch.Tensor:
        rises, hinges, squares = [], [], [ids[41 + item].square().sum() for item in drawn]
        for user, positive in zip(BATCH.users, BATCH.positives, strict=True):
            vector = user_vector(ours, ids, user)
            rises.append(1 - torch.cosine_similarity(vector, ids[41 + positive], dim=0))
            for item in drawn:
                cosine = torch.cosine_similarity(vector, ids[41 + item], dim=0)
                own = item in checkerboard()[0].seen.of(user)
                hinges.append(torch.relu(cosine + 0.2) * (not own))
            squares += [ids[user].square().sum(), ids[41 + positive].square().sum()]
        return torch.stack(rises).mean() + 5 * torch.stack(hinges).mean() + 0.3 * sum(squares) / 6

    check_loss_and_gradients(ours, expected, torch.Generator().manual_seed(4))
    assert ours.weight.grad.abs().min() > 0


def test_scores_are_cosines():
    ours = network()
    users, items = ours.score_vectors()
    ids = ours.layer_zero.ids.detach().double()
    expected = [torch.cosine_similarity(user_vector(ours, ids, 7), item, dim=0) for item in ids[41:]]
    torch.testing.assert_close((users[7] @ items.T).double(), torch.stack(expected), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(users[COLD_USER], torch.nn.functional.normalize(ids[COLD_USER], dim=0).float())


def test_an_id_alone_leaves_the_history_out():
    ours = network(own_weight=1.0)
    users, _ = ours.score_vectors()
    torch.testing.assert_close(users, torch.nn.functional.normalize(ours.layer_zero.ids.detach()[:41], dim=1))


def test_no_more_negatives_than_items():
    losses = [network(num_negatives=m).loss(BATCH, torch.Generator().manual_seed(0)) for m in (21, 10**6)]
    assert torch.equal(*losses)
    assert np.isfinite(losses[0].item())

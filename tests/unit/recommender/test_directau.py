import pytest
import torch
from dense_graph import BATCH, check_loss_and_gradients, dense_adjacency, mean

from recommender.models.directau import Config, Network
from recommender.testing import checkerboard

SETTINGS = {"embedding_dim": 4, "init_std": 0.5}
NOISE = torch.Generator()


def network(**settings) -> Network:
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, None), seed=1)


def final(ids: torch.Tensor, num_layers: int) -> torch.Tensor:
    layers = [ids]
    for _ in range(num_layers):
        layers.append(dense_adjacency(checkerboard()[0]) @ layers[-1])
    return mean(layers)


def uniformity(vectors: list[torch.Tensor]) -> torch.Tensor:
    pairs = [(x, y) for i, x in enumerate(vectors) for y in vectors[:i]]
    return torch.stack([(-2 * (x - y).square().sum()).exp() for x, y in pairs]).mean().log()


@pytest.mark.parametrize("num_layers", [0, 2])
def test_loss_and_gradients_equal_the_formula(num_layers):
    def expected(ids: torch.Tensor) -> torch.Tensor:
        nodes = [vector / vector.norm() for vector in final(ids, num_layers)]
        pairs = list(zip(BATCH.users, BATCH.positives + 41, strict=True))
        alignment = torch.stack([(nodes[u] - nodes[i]).square().sum() for u, i in pairs]).mean()
        sides = sorted({u for u, _ in pairs}), sorted({i for _, i in pairs})
        spread = sum(uniformity([nodes[n] for n in side]) for side in sides) / 2
        squares = sum(ids[n].square().sum() for side in sides for n in side)
        return alignment + 0.7 * spread + 0.3 * squares / (2 * len(pairs))

    ours = network(num_layers=num_layers, uniformity_weight=0.7, reg=0.3)
    check_loss_and_gradients(ours, expected, NOISE)


def test_negatives_are_not_read():
    ours = network(reg=0.0)
    other = type(BATCH)(BATCH.users, BATCH.positives, BATCH.negatives + 9)
    assert torch.equal(ours.loss(BATCH, NOISE), ours.loss(other, NOISE))


def test_lengths_do_not_matter_to_the_loss_but_to_scores():
    ours = network(reg=0.0, num_layers=0)
    loss, scores = ours.loss(BATCH, NOISE), ours.score_vectors()[0]
    with torch.no_grad():
        ours.layer_zero.ids *= 3
    torch.testing.assert_close(ours.loss(BATCH, NOISE), loss)
    torch.testing.assert_close(ours.score_vectors()[0], 3 * scores)

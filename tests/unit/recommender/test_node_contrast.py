import torch

from recommender.graph.node_contrast import contrast_in_batch, contrast_with_all, info_nce_among

DRAW = torch.Generator().manual_seed(6)
ANCHORS = torch.randn(3, 4, generator=DRAW)
CANDIDATES = torch.randn(7, 4, generator=DRAW)
TARGETS = torch.tensor([5, 0, 5])


def by_hand(
    anchors: torch.Tensor, candidates: torch.Tensor, targets: list[int], temperature: float
) -> torch.Tensor:
    losses = []
    for anchor, target in zip(anchors, targets, strict=True):
        chances = [torch.exp(torch.cosine_similarity(anchor, c, dim=0) / temperature) for c in candidates]
        losses.append(-torch.log(chances[target] / torch.stack(chances).sum()))
    return torch.stack(losses).mean()


def test_loss_and_gradients_among_candidates():
    ours = ANCHORS.clone().requires_grad_(), CANDIDATES.clone().requires_grad_()
    theirs = ANCHORS.double().requires_grad_(), CANDIDATES.double().requires_grad_()
    found = info_nce_among(*ours, TARGETS, 0.3)
    expected = by_hand(*theirs, TARGETS.tolist(), 0.3)
    torch.testing.assert_close(found.double(), expected)
    found.backward()
    expected.backward()
    for own, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad.double(), their.grad, atol=1e-6, rtol=1e-5)


def test_sides_are_apart():
    sides = [ANCHORS, ANCHORS.flip(1)], [CANDIDATES, CANDIDATES.flip(0)]
    rows = [TARGETS, torch.tensor([1, 2, 3])]
    found = contrast_with_all(*sides, rows, 0.3)
    for loss, anchors, candidates, targets in zip(found, *sides, rows, strict=True):
        torch.testing.assert_close(loss, by_hand(anchors, candidates, targets.tolist(), 0.3))


def test_in_a_batch_a_node_is_its_own_positive():
    (found,) = contrast_in_batch([ANCHORS], [CANDIDATES[:3]], 0.5)
    torch.testing.assert_close(found, by_hand(ANCHORS, CANDIDATES[:3], [0, 1, 2], 0.5))

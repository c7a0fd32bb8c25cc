import numpy as np
import pytest
import recmind_by_hand as by_hand
import torch

from recommender.text.alignment import (
    Negatives,
    absent_from,
    info_nce,
    nearest_by_cosine,
    symmetric_info_nce,
)

BATCH, QUEUE, HARD = [4, 7, 9], [1, 2, 3, 4], {4: [5], 7: [5, 6], 9: []}
IS_QUEUED = torch.tensor([True, True, False, False])  # 3 is empty, 4 is in the batch
IS_HARD = torch.tensor([[False, True], [True, True], [False, False]])


def tables() -> dict[str, dict[int, np.ndarray]]:
    """Node → vector, in every place of each view."""
    generator = np.random.default_rng(3)
    nodes = {"batch": BATCH, "queue": QUEUE, "hard": [5, 6]}
    return {
        f"{view} {place}": {node: generator.normal(size=4) for node in nodes[place]}
        for view in ("graph", "text")
        for place in nodes
    }


def stacked(vectors: dict[int, np.ndarray], nodes: list[int]) -> torch.Tensor:
    return torch.from_numpy(np.stack([vectors[node] for node in nodes]))


def negatives(found: dict[str, dict[int, np.ndarray]], view: str) -> Negatives:
    queue = torch.nn.functional.normalize(stacked(found[f"{view} queue"], QUEUE), dim=1)
    hard = torch.nn.functional.normalize(stacked(found[f"{view} hard"], [5, 5, 6]), dim=1)
    return Negatives(queue, IS_QUEUED, hard, IS_HARD)


def denominators(found: dict[str, dict[int, np.ndarray]], view: str) -> dict[int, dict[int, np.ndarray]]:
    of_queue = {node: found[f"{view} queue"][node] for node in (1, 2)}
    of_hard = found[f"{view} hard"]
    return {
        node: found[f"{view} batch"] | of_queue | {other: of_hard[other] for other in HARD[node]}
        for node in BATCH
    }


def test_both_directions_equal_the_formula():
    found = tables()
    expected = [
        by_hand.one_way(found[f"{view} batch"], denominators(found, other), 0.3)
        for view, other in (("graph", "text"), ("text", "graph"))
    ]
    loss = symmetric_info_nce(
        stacked(found["graph batch"], BATCH),
        stacked(found["text batch"], BATCH),
        graph_negatives=negatives(found, "graph"),
        text_negatives=negatives(found, "text"),
        temperature=0.3,
    )
    assert loss.item() == pytest.approx(sum(expected) / 2, rel=1e-9)
    assert abs(expected[0] - expected[1]) > 0.01


def test_gradients_equal_finite_differences():
    found = tables()
    anchors = stacked(found["graph batch"], BATCH).requires_grad_()
    keys = stacked(found["text batch"], BATCH).requires_grad_()
    others = negatives(found, "text")
    assert torch.autograd.gradcheck(lambda a, k: info_nce(a, k, others, 0.3), (anchors, keys))


def test_without_any_others_the_batch_remains():
    found = tables()
    none = Negatives(torch.zeros(0, 4).double(), IS_QUEUED[:0], torch.zeros(0, 4).double(), IS_HARD[:, :0])
    loss = info_nce(stacked(found["graph batch"], BATCH), stacked(found["text batch"], BATCH), none, 0.3)
    candidates = dict.fromkeys(BATCH, found["text batch"])
    assert loss.item() == pytest.approx(by_hand.one_way(found["graph batch"], candidates, 0.3))


def test_a_single_node_and_zero_vectors_are_finite():
    vectors = torch.zeros(1, 4, requires_grad=True)
    none = Negatives(torch.zeros(0, 4), IS_QUEUED[:0], torch.zeros(0, 4), IS_HARD[:1, :0])
    loss = info_nce(vectors, torch.zeros(1, 4), none, 0.2)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(vectors.grad).all()


def test_listed_nodes_of_no_group_are_found():
    listed = torch.tensor([[3, -1, 8], [5, 0, -1]])
    found = absent_from(listed, torch.tensor([3, 4]), torch.tensor([5]))
    assert found.tolist() == [[False, False, True], [False, True, False]]
    nobody = torch.zeros(0, dtype=torch.int64)
    assert absent_from(torch.full((2, 1), -1), nobody).tolist() == [[False], [False]]


def test_nearest_rows_are_by_cosine_and_leave_zero_rows_out(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(9, 3))
    vectors[[2, 6]] = 0
    monkeypatch.setattr("recommender.text.alignment._COSINES_AT_A_TIME", 20)
    found = nearest_by_cosine(torch.from_numpy(vectors), 8).tolist()
    for row, nearest in enumerate(found):
        others = [other for other in range(9) if other not in {row, 2, 6}] if row not in {2, 6} else []
        others.sort(key=lambda other: -by_hand.cosine(vectors[row], vectors[other]))
        assert nearest == others + [-1] * (8 - len(others))
    assert nearest_by_cosine(torch.ones(1, 2), 5).tolist() == [[-1]]

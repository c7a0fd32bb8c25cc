"""The alignment objective against its equations, written out as loops."""

import numpy as np
import pytest
import torch

from featurestore.errors import InputError
from llm_jobs.tuning.alignment import AlignmentConfig, AlignmentObjective, Pairs, measure_alignment
from llm_jobs.tuning.base_model import TokenIds
from llm_jobs.tuning.nodes import held_out
from llm_jobs.tuning.projection import StandardisedProjection

HIDDEN, WIDTH = 5, 3
CONFIG = AlignmentConfig(temperature=0.3, queue_size=4, num_hard=2, momentum=0.8)


class _Table(torch.nn.Module):
    """A model whose vector of an input is a row of a table: token ids are one number each."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.rows = torch.nn.Parameter(torch.tensor(rows, dtype=torch.float32))

    def forward(self, token_ids: TokenIds) -> torch.Tensor:
        return self.rows[torch.tensor([ids[0] for ids in token_ids])]


@pytest.fixture
def world(rng):
    """Nine items and four users: a table of pooled states, z^G of both, and the objective."""
    graphs = [rng.normal(size=(n, WIDTH)).astype(np.float32) for n in (9, 4)]
    states = rng.normal(size=(13, HIDDEN)).astype(np.float32)
    starts = (0, 9)
    sides = [
        Pairs([[start + row] for row in range(len(graph))], torch.from_numpy(graph))
        for start, graph in zip(starts, graphs, strict=True)
    ]
    states[:, 0] += 30.0  # a column that is large in all states, as decoders have
    projection = StandardisedProjection(torch.from_numpy(states), WIDTH, seed=2)
    objective = AlignmentObjective(sides, CONFIG, projection)
    model = _Table(states)
    return model, (states - states.mean(axis=0)) / states.std(axis=0, ddof=1), graphs, objective


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def direction(anchor: np.ndarray, own: np.ndarray, others: list[np.ndarray]) -> float:
    scores = np.exp(np.array([cosine(anchor, own), *(cosine(anchor, each) for each in others)]) / 0.3)
    return -np.log(scores[0] / scores.sum())


def by_hand(rows, text, graph, queue) -> float:
    """Mean over a batch of one side; ``queue`` is node → z^L key."""
    queued = {node: key for node, key in queue.items() if node not in rows}
    total = 0.0
    for v in rows:
        near = sorted((n for n in range(len(graph)) if n != v), key=lambda n: -cosine(graph[v], graph[n]))[:2]
        batch = [w for w in rows if w != v]
        hard = [graph[n] for n in near if n not in rows and n not in queued]
        to_text = direction(graph[v], text[v], [text[w] for w in batch] + list(queued.values()))
        to_graph = direction(text[v], graph[v], [graph[w] for w in [*batch, *queued]] + hard)
        total += (to_text + to_graph) / 2
    return total / len(rows)


def test_the_loss_is_the_equations_through_three_steps(world):
    model, states, graphs, objective = world
    weight = objective.projection.weight.detach().numpy().copy()
    average = weight.copy()
    queues: list[dict[int, np.ndarray]] = [{}, {}]
    for examples in ([0, 1, 2, 9], [1, 3, 10, 11], [4, 5, 0, 6]):
        sides = [[e for e in examples if e < 9], [e - 9 for e in examples if e >= 9]]
        expected = sum(
            len(rows) / 4 * by_hand(rows, states[start:] @ weight.T, graph, queue)
            for rows, start, graph, queue in zip(sides, (0, 9), graphs, queues, strict=True)
            if rows
        )
        found = objective.loss(model, np.array(examples))
        assert float(found.detach()) == pytest.approx(expected, rel=1e-5)
        weight += 0.05  # as an optimiser would
        with torch.no_grad():
            objective.projection.weight.copy_(torch.from_numpy(weight))
        objective.after_step()
        average = 0.8 * average + 0.2 * weight
        for rows, start, queue in zip(sides, (0, 9), queues, strict=True):
            for row in rows:
                queue.pop(row, None)
                queue[row] = states[start + row] @ average.T
            while len(queue) > 4:
                queue.pop(next(iter(queue)))


def test_gradients_reach_the_model_and_the_projection_only(world):
    model, _, _, objective = world
    objective.loss(model, np.array([0, 1, 9, 10])).backward()
    learns = {name for name, weight in objective.named_parameters() if weight.requires_grad}
    assert learns == {"projection.weight"}
    assert objective.projection.weight.grad is not None
    assert model.rows.grad is not None
    assert model.rows.grad[[0, 1, 9, 10]].any(dim=1).all()
    assert not model.rows.grad[[2, 3, 4, 11, 12]].any()


def test_held_out_alignment_is_measured_as_said(rng):
    text, graph = rng.normal(size=(2, 30, WIDTH)).astype(np.float32)
    found = measure_alignment(torch.from_numpy(text), torch.from_numpy(graph), temperature=0.3)
    rows = range(30)
    losses = [
        (
            direction(graph[v], text[v], [text[w] for w in rows if w != v])
            + direction(text[v], graph[v], [graph[w] for w in rows if w != v])
        )
        / 2
        for v in rows
    ]
    hits = [sum(cosine(text[v], graph[w]) > cosine(text[v], graph[v]) for w in rows) < 10 for v in rows]
    assert found.num_nodes == 30
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.hit_at_10 == pytest.approx(np.mean(hits))
    perfect = measure_alignment(torch.from_numpy(graph), torch.from_numpy(graph), temperature=0.3)
    assert perfect.hit_at_10 == 1.0


def test_one_node_alone_is_refused():
    side = Pairs([[0]], torch.ones(1, WIDTH))
    with pytest.raises(InputError, match="alignment tells at least two nodes apart"):
        AlignmentObjective([side], CONFIG, StandardisedProjection(torch.randn(3, HIDDEN), WIDTH, seed=2))


def test_a_folded_projection_is_the_same_map(rng):
    states = torch.from_numpy(rng.normal(2.0, 3.0, size=(20, HIDDEN)).astype(np.float32))
    states[:, 1] = 5.0  # says nothing of any text
    projection = StandardisedProjection(states, WIDTH, seed=2)
    weight, bias = projection.folded()
    np.testing.assert_allclose(projection(states).detach(), states @ weight.T + bias, atol=1e-5)
    assert not weight[:, 1].any()
    with pytest.raises(InputError, match="all 4 texts to learn from have the same vector"):
        StandardisedProjection(states[:1].repeat(4, 1), WIDTH, seed=2)
    np.testing.assert_allclose(projection(states).detach().mean(dim=0), np.zeros(WIDTH), atol=1e-5)


def test_what_is_held_out_hangs_on_ids_and_seed_alone():
    ids = [f"i{n}" for n in range(200)]
    first = held_out(ids, 0.25, seed=1)
    assert first.sum() == 50
    shuffled = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(held_out([ids[n] for n in shuffled], 0.25, seed=1), first[shuffled])
    assert (held_out(ids, 0.25, seed=2) != first).any()

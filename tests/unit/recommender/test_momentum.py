import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from recommender.text.momentum import KeyQueue, MovingAverage


def test_the_average_follows_by_one_share_per_step():
    source = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    source[1].bias.requires_grad_(False)
    average = MovingAverage(source, 0.9)
    assert set(average.weights()) == {"0.weight", "0.bias", "1.weight"}
    expected = source[0].weight.detach().double().numpy()
    for step in range(3):
        with torch.no_grad():
            source[0].weight += step + 1
        average.update(source)
        expected = 0.9 * expected + 0.1 * source[0].weight.detach().double().numpy()
        np.testing.assert_allclose(average.weights()["0.weight"], expected, rtol=1e-5)
    assert not any(weight.requires_grad for weight in average.parameters())
    assert all(weight.requires_grad for weight in source[0].parameters())


def test_the_average_starts_as_a_copy():
    source = torch.nn.Linear(2, 3)
    average = MovingAverage(source, 0.9)
    torch.testing.assert_close(average.weights()["weight"], source.weight.detach())
    assert average.weights()["weight"].data_ptr() != source.weight.data_ptr()


def key_of(node: int, step: int) -> list[float]:
    angle = node + 0.1 * step
    return [3 * np.cos(angle), 3 * np.sin(angle)]


@given(
    size=st.integers(1, 7),
    batches=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9, unique=True), max_size=8),
    asked=st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True),
)
def test_the_queue_holds_the_newest_key_of_each_node_and_none_of_its_own(size, batches, asked):
    queue, expected = KeyQueue(size, 2), []  # slots, oldest first: (node or -1, key)
    for step, nodes in enumerate(batches):
        keys = torch.tensor([key_of(node, step) for node in nodes], dtype=torch.float32)
        queue.push(torch.tensor(nodes), keys, -keys)
        kept = nodes[-size:]
        expected = [(-1 if node in kept else node, at) for node, at in expected]
        expected = (expected + [(node, step) for node in kept])[-size:]
    filled = queue.nodes >= 0
    held = dict(zip(queue.nodes[filled].tolist(), queue.graph[filled], strict=True))
    assert filled.sum() == len(held), "a node stands in the queue twice"
    assert set(held) == {node for node, _ in expected if node >= 0}
    for node, step in expected:
        if node >= 0:
            torch.testing.assert_close(held[node], torch.tensor(key_of(node, step), dtype=torch.float32) / 3)
    others = queue.others(torch.tensor(asked))
    assert set(queue.nodes[others].tolist()) == set(held) - set(asked)
    torch.testing.assert_close(queue.text[filled], -queue.graph[filled])


def test_all_of_its_state_is_in_parameters_without_gradients():
    state = dict(KeyQueue(5, 2).named_parameters())
    assert {name: tuple(weight.shape) for name, weight in state.items()} == {
        "nodes": (5,),
        "graph": (5, 2),
        "text": (5, 2),
        "_next": (1,),
    }
    assert not any(weight.requires_grad for weight in state.values())

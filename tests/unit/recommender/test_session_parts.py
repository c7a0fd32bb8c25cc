"""Graphs, recurrence, attention and prefixes of sessions against slow references."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from session_by_hand import array, graph_by_hand, readout_by_hand, recurrent_by_hand, sigmoid

from recommender.sequence import additive_attention as attention_module
from recommender.sequence.additive_attention import additive_attention
from recommender.sequence.recurrent import Recurrent
from recommender.sequence.sequences import Sequences
from recommender.session.gated_graph import AttentiveReadout, GatedGraph
from recommender.session.graphs import session_graphs
from recommender.session.prefixes import PrefixEncoder, prefixes_of

SESSIONS = [[4], [2, 2], [3, 1], [1, 5, 1], [0, 6, 0, 6, 2], [5, 4, 3, 2, 5]]
"""Shortest first: one click, a click repeated, a way there and back, an edge taken twice, a circle."""
CPU = torch.device("cpu")


def sequences_of(sessions: list[list[int]]) -> Sequences:
    return Sequences(
        np.array([i for s in sessions for i in s], np.int64), np.array([len(s) for s in sessions])
    )


def taken_apart(sequences: Sequences, line: np.ndarray) -> list[np.ndarray]:
    return np.split(line, np.cumsum(sequences.lengths)[:-1])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(matrix) -> np.ndarray:
    return matrix.matmul(torch.eye(matrix.num_nodes)).numpy()


def test_nodes_are_the_different_items_of_each_session():
    sequences = sequences_of(SESSIONS)
    graphs = session_graphs(sequences, CPU)
    assert len(graphs.nodes) == sum(len(set(session)) for session in SESSIONS)
    assert graphs.nodes[graphs.places].tolist() == sequences.items.tolist()
    for session, places in zip(SESSIONS, taken_apart(sequences, graphs.places), strict=True):
        assert len(set(places.tolist())) == len(set(session))


def test_edges_weigh_as_often_as_they_were_taken():
    sequences = sequences_of(SESSIONS)
    graphs = session_graphs(sequences, CPU)
    size = len(graphs.nodes)
    counts = np.zeros((size, size))
    for places in taken_apart(sequences, graphs.places):
        for source, target in pairwise(places):
            counts[source, target] += 1
    incoming = counts.T / np.maximum(counts.sum(axis=0), 1)[:, None]
    outgoing = counts / np.maximum(counts.sum(axis=1), 1)[:, None]
    for found, expected in ((graphs.incoming, incoming), (graphs.outgoing, outgoing)):
        np.testing.assert_allclose(dense(found.rows), expected, atol=1e-6)
        np.testing.assert_allclose(dense(found.transposed), expected.T, atol=1e-6)


def test_means_of_neighbours_have_gradients():
    graphs = session_graphs(sequences_of(SESSIONS), CPU)
    vectors = torch.randn(len(graphs.nodes), 3, generator=generator(), requires_grad=True)
    wanted = torch.randn(len(graphs.nodes), 3, generator=generator(1))
    (graphs.outgoing.mean(vectors) * wanted).sum().backward()
    expected = torch.from_numpy(dense(graphs.outgoing.rows)).T @ wanted
    torch.testing.assert_close(vectors.grad, expected)


@pytest.mark.parametrize("num_steps", [1, 3])
def test_gated_steps_equal_the_formulas(num_steps):
    graph = GatedGraph(6, num_steps, generator())
    vectors = torch.randn(7, 6, generator=generator(1))
    sequences = sequences_of(SESSIONS)
    graphs = session_graphs(sequences, CPU)
    nodes = graph(vectors[torch.from_numpy(graphs.nodes)], graphs).detach().numpy()
    for session, places in zip(SESSIONS, taken_apart(sequences, graphs.places), strict=True):
        expected = graph_by_hand(graph, session, array(vectors), num_steps)
        for item, place in zip(session, places, strict=True):
            np.testing.assert_allclose(nodes[place], expected[item], rtol=1e-4, atol=1e-6)


def test_a_readout_equals_the_formulas():
    readout = AttentiveReadout(6, generator())
    sequences = sequences_of(SESSIONS)
    events = torch.randn(len(sequences.items), 6, generator=generator(1))
    found = readout(events, sequences).detach().numpy()
    for state, part in zip(found, taken_apart(sequences, array(events)), strict=True):
        np.testing.assert_allclose(state, readout_by_hand(readout, part), rtol=1e-4, atol=1e-6)


def test_a_recurrent_layer_equals_its_steps():
    layer = Recurrent(4, 5, generator())
    sequences = sequences_of(SESSIONS)
    events = torch.randn(len(sequences.items), 4, generator=generator(1))
    found = taken_apart(sequences, layer(events, sequences).detach().numpy())
    for states, part in zip(found, taken_apart(sequences, array(events)), strict=True):
        np.testing.assert_allclose(states, recurrent_by_hand(layer, part), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_asked", [1, 2, 4])
@pytest.mark.parametrize("numbers", [1, 10**9])
def test_attention_sees_what_is_not_later(num_asked, numbers, monkeypatch):
    monkeypatch.setattr(attention_module, "_NUMBERS_AT_A_TIME", numbers)
    asked, offered = (torch.randn(3, n, 6, generator=generator(n)) for n in (num_asked, 4))
    weight, values = torch.randn(6, generator=generator(8)), torch.randn(3, 4, 2, generator=generator(9))
    found = additive_attention(asked, offered, weight, values).numpy()
    assert found.shape == (3, num_asked, 2)
    for r in range(3):
        for m in range(num_asked):
            newest = 4 - num_asked + m
            expected = np.zeros(2)
            for j in range(newest + 1):
                share = array(weight) @ sigmoid(array(asked)[r, m] + array(offered)[r, j])
                expected += share * array(values)[r, j]
            np.testing.assert_allclose(found[r, m], expected, rtol=1e-4, atol=1e-6)


def test_every_event_ends_a_prefix():
    sequences = sequences_of(SESSIONS)
    prefixes, ends = prefixes_of(sequences)
    expected = sorted((session[: n + 1] for session in SESSIONS for n in range(len(session))), key=len)
    assert [part.tolist() for part in taken_apart(prefixes, prefixes.items)] == expected
    assert sorted(ends.tolist()) == list(range(len(sequences.items)))
    assert prefixes.items[prefixes.newest].tolist() == sequences.items[ends].tolist()
    assert (np.diff(prefixes.lengths) >= 0).all()


class _Sums(torch.nn.Module):
    """A state is the sum of the session's item vectors."""

    def forward(self, items, sessions, noise):
        parts = taken_apart(sessions, sessions.items)
        return torch.stack([items[torch.from_numpy(part)].sum(dim=0) for part in parts])


def test_states_of_all_events_while_learning_and_of_the_newest_after():
    sequences = sequences_of(SESSIONS)
    items = torch.randn(7, 3, generator=generator())
    encoder = PrefixEncoder(_Sums(), 5)
    expected = torch.cat([items[torch.tensor(session)].cumsum(dim=0) for session in SESSIONS])
    torch.testing.assert_close(encoder(items, sequences, generator()), expected)
    newest = encoder(items, sequences)
    torch.testing.assert_close(newest[sequences.newest], expected[sequences.newest])
    others = np.setdiff1d(np.arange(len(sequences.items)), sequences.newest)
    assert not newest[others].any()

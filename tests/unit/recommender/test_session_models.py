"""Models of sessions: states and losses against their papers' formulas, and what all of them can do."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from session_by_hand import (
    applied,
    array,
    graph_by_hand,
    readout_by_hand,
    recurrent_by_hand,
    sigmoid,
)

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.base import ReadsFeatures, ReadsHistories
from recommender.data import group_by_time, training_data
from recommender.features import NodeFeatures
from recommender.models import gcsan, gru4rec, narm, niser, srgnn, stamp
from recommender.sequence.model import history_states
from recommender.sequence.network import SessionNetwork
from recommender.testing import COLD_USER, checkerboard, parity_features

MODELS = {
    "gru4rec": (gru4rec, gru4rec.Encoder),
    "narm": (narm, narm.Encoder),
    "stamp": (stamp, stamp.Encoder),
    "srgnn": (srgnn, srgnn.new_encoder),
    "gcsan": (gcsan, gcsan.new_encoder),
    "niser": (niser, niser.new_encoder),
}
SMALL = {"embedding_dim": 6, "max_length": 4, "init_std": 0.5, "dropout": 0.0, "batch_size": 1_000}
MORE = {
    "gru4rec": {"hidden_dim": 5, "num_layers": 2},
    "narm": {"hidden_dim": 5, "state_dropout": 0.0},
    "stamp": {},
    "srgnn": {"num_layers": 2},
    "gcsan": {"num_blocks": 2, "num_layers": 2},
    "niser": {"temperature": 0.2},
}
ASKED = [[1, 5, 2], [3], [], [0, 6, 2, 0, 1, 0], [2, 2, 4]]
QUICK = {"epochs": 20, "batch_size": 64, "learning_rate": 0.02, "eval_every": 10, "embedding_dim": 16}


def flat(histories: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return users, np.array([item for history in histories for item in history], np.int64)


def small_network(name: str, **settings: object) -> SessionNetwork:
    module, new_encoder = MODELS[name]
    none = np.array([], np.int64)
    data = training_data(num_users=len(ASKED), num_items=7, train=flat(ASKED), valid=(none, none))
    config = module.Config(**(SMALL | MORE[name] | settings))
    return SessionNetwork(new_encoder, config, data, (None, None), seed=1)


def gru4rec_state(encoder, items: np.ndarray, session: list[int]) -> np.ndarray:
    states = items[session]
    for layer in encoder.layers:
        states = recurrent_by_hand(layer, states)
    return applied(encoder.turned, states[-1])


def narm_state(encoder, items: np.ndarray, session: list[int]) -> np.ndarray:
    states = recurrent_by_hand(encoder.recurrent, items[session])
    local = np.zeros_like(states[-1])
    for each in states:
        match = sigmoid(applied(encoder.asked, states[-1]) + applied(encoder.offered, each))
        local += array(encoder.weight) @ match * each
    return applied(encoder.turned, np.concatenate([states[-1], local]))


def stamp_state(encoder, items: np.ndarray, session: list[int]) -> np.ndarray:
    events = items[session]
    mean, newest = events.mean(axis=0), events[-1]
    memory = np.zeros_like(newest)
    for x in events:
        inside = (
            applied(encoder.offered, x) + applied(encoder.newest, newest) + applied(encoder.general, mean)
        )
        memory += array(encoder.weight) @ sigmoid(inside) * x
    return np.tanh(applied(encoder.session, memory)) * np.tanh(applied(encoder.click, newest))


def srgnn_state(encoder, items: np.ndarray, session: list[int]) -> np.ndarray:
    nodes = graph_by_hand(encoder.reader.graph, session, items, num_steps=2)
    return readout_by_hand(encoder.reader.readout, np.stack([nodes[item] for item in session]))


def niser_state(encoder, items: np.ndarray, session: list[int]) -> np.ndarray:
    reader = encoder.encoder.reader
    nodes = graph_by_hand(reader.graph, session, items, num_steps=1)
    newest = len(session) - 1
    placed = [nodes[item] + array(reader.ages)[newest - t] for t, item in enumerate(session)]
    state = readout_by_hand(reader.readout, np.stack(placed))
    return state / np.linalg.norm(state)


def gcsan_state(encoder, items: np.ndarray, session: list[int]) -> np.ndarray:
    nodes = graph_by_hand(encoder.reader.graph, session, items, num_steps=2)
    first = events = np.stack([nodes[item] for item in session])
    for block in encoder.reader.blocks:
        after = []
        for h in events:
            keys, values = np.split(array(block.key_value.weight) @ events.T, 2)
            logits = applied(block.query, h) @ keys / np.sqrt(len(h))
            found = values @ (np.exp(logits) / np.exp(logits).sum())
            after.append(found + applied(block.narrow, np.maximum(applied(block.widen, found), 0)))
        events = np.stack(after)
    return 0.6 * events[-1] + 0.4 * first[-1]


BY_HAND: dict[str, Callable[..., np.ndarray]] = {
    "gru4rec": gru4rec_state,
    "narm": narm_state,
    "stamp": stamp_state,
    "srgnn": srgnn_state,
    "gcsan": gcsan_state,
    "niser": niser_state,
}


def read_items(network: SessionNetwork, temperature: float | None) -> np.ndarray:
    raw = array(network.layer_zero.ids)
    return raw if temperature is None else raw / np.linalg.norm(raw, axis=1, keepdims=True)


@pytest.mark.parametrize("name", MODELS)
def test_states_equal_the_formulas(name):
    network = small_network(name)
    items = read_items(network, MORE[name].get("temperature"))
    histories = group_by_time(*flat(ASKED), len(ASKED))
    found = history_states(network.encoder, torch.from_numpy(items).float(), histories, np.arange(5))
    for row, session in enumerate(ASKED):
        if not session:
            assert not found[row].any()
            continue
        expected = BY_HAND[name](network.encoder, items, session[-4:])
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reg", [0.0, 0.3])
@pytest.mark.parametrize("name", MODELS)
def test_the_loss_is_a_softmax_after_every_prefix(name, reg):
    network = small_network(name, reg=reg)
    (batch,) = network.epoch(np.random.default_rng(0))
    temperature = MORE[name].get("temperature")
    items = read_items(network, temperature)
    losses, lengths = [], []
    for history in ASKED:
        newest = history[-5:]  # four that are read, and the last target
        for n in range(1, len(newest)):
            logits = items @ BY_HAND[name](network.encoder, items, newest[:n]) / (temperature or 1.0)
            losses.append(np.log(np.exp(logits).sum()) - logits[newest[n]])
            lengths.append((array(network.layer_zero.ids)[newest[n]] ** 2).sum())
    assert len(losses) == len(batch.targets) == 8
    expected = np.mean(losses) + reg * np.mean(lengths) / 2
    assert network.loss(batch, torch.Generator()).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_weight(name):
    network = small_network(name, dropout=0.2)
    (batch,) = network.epoch(np.random.default_rng(0))
    network.loss(batch, torch.Generator().manual_seed(0)).backward()
    for weight_name, weight in network.named_parameters():
        assert weight.grad is not None, weight_name
        assert weight.grad.abs().sum() > 0, weight_name


@pytest.mark.parametrize("name", MODELS)
def test_weights_and_dropout_draw_from_the_given_generators_alone(name):
    before = torch.get_rng_state()
    networks = [small_network(name, dropout=0.5) for _ in range(2)]
    (batch,) = networks[0].epoch(np.random.default_rng(0))
    losses = [
        network.loss(batch, torch.Generator().manual_seed(seed)).item()
        for network, seed in zip([*networks, networks[0]], (0, 0, 1), strict=True)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", MODELS)
def test_other_sessions_are_asked_of_the_same_weights(name):
    data, _ = checkerboard()
    module = MODELS[name][0]
    model = module.Model(module.Config(**QUICK, max_length=3))
    model.fit(data, features=None, seed=0, progress=no_progress)
    assert isinstance(model, ReadsHistories)
    asked = [[2, 4, 6, 8], [3], [], [4, 6, 8], data.histories.of(7).tolist(), [4, 4, 6]]
    scores = model.with_histories(group_by_time(*flat(asked), len(asked))).score(np.arange(6))
    even, odd = np.arange(0, 20, 2), np.arange(1, 20, 2)
    assert scores[0, even].mean() > scores[0, odd].mean() + 0.1
    assert scores[1, odd].mean() > scores[1, even].mean() + 0.1
    np.testing.assert_allclose(scores[0], scores[3], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores[4], model.score(np.array([7]))[0], rtol=1e-5, atol=1e-5)
    average = model.score(np.arange(40)).mean(axis=0)
    np.testing.assert_allclose(scores[2], average, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.score(np.array([COLD_USER]))[0], average, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "fusion"), [("narm", "replace"), ("gcsan", "add"), ("niser", "gate")])
def test_texts_of_items_are_read_through_layer_zero(name, fusion):
    data, answers = checkerboard()
    module = MODELS[name][0]
    model = module.Model(module.Config(**QUICK, fusion=fusion))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))
    scores[data.train_users, data.train_items] = -np.inf
    assert (scores.argmax(axis=1) % 2 == answers % 2).mean() > 0.9
    assert set(model.arrays()) == {"weights", "histories", "pca"}
    assert isinstance(model, ReadsFeatures)
    same = model.with_features(data, parity_features())
    np.testing.assert_allclose(same.score(np.arange(41)), model.score(np.arange(41)), rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match=rf"{name} uses no user features"):
        model.fit(data, features=NodeFeatures(users=parity_features().items), seed=0, progress=no_progress)

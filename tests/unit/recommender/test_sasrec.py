import numpy as np
import pytest
import torch
from attention_by_hand import array, block_by_hand, normed

from featurestore.errors import StoreError, UsageError
from featurestore.progress import no_progress
from recommender.base import ReadsFeatures, ReadsHistories
from recommender.data import Histories, group_by_time, training_data
from recommender.features import NodeFeatures
from recommender.models.sasrec import Config, Model, Network
from recommender.sequence.model import history_states
from recommender.sequence.sequences import SequenceBatch, Sequences, newest_events
from recommender.testing import COLD_ITEM, COLD_USER, checkerboard, parity_features
from recommender.training.embedding_config import FUSIONS

QUICK = {
    "epochs": 20,
    "batch_size": 64,
    "learning_rate": 0.02,
    "eval_every": 10,
    "embedding_dim": 16,
    "dropout": 0.1,
}
SMALL = {"embedding_dim": 6, "num_heads": 2, "feedforward_dim": 5, "max_length": 4, "init_std": 0.5}
ASKED = [[1, 5, 2], [3], [], [0, 6, 2, 4, 1, 3], [2, 2]]


def flat(histories: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return users, np.array([item for history in histories for item in history], np.int64)


def histories_of(histories: list[list[int]]) -> Histories:
    return group_by_time(*flat(histories), len(histories))


def small_network(**settings: object) -> Network:
    none = np.array([], np.int64)
    data = training_data(num_users=len(ASKED), num_items=7, train=flat(ASKED), valid=(none, none))
    network = Network(Config(**(SMALL | settings)), data, (None, None), seed=1)
    with torch.no_grad():  # the first biases and scales would hide a part that is left out
        for weight in network.encoder.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)), alpha=0.2)
    return network


def states_by_hand(network: Network, items: np.ndarray, history: list[int]) -> np.ndarray:
    """(L, d) states of one history of at most max_length events; ``items`` are the vectors read."""
    encoder = network.encoder
    newest = len(history) - 1
    events = np.stack(
        [items[item] * np.sqrt(6) + array(encoder.ages)[newest - t] for t, item in enumerate(history)]
    )
    for block in encoder.blocks:
        events = block_by_hand(block, events, num_heads=2)
    return np.stack([normed(event, encoder.norm) for event in events])


def over_length(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [None, 0.2])
@pytest.mark.parametrize("reg", [0.0, 0.3])
def test_loss_equals_the_formula(temperature, reg):
    network = small_network(temperature=temperature, reg=reg, batch_size=1_000, dropout=0.0)
    (batch,) = network.epoch(np.random.default_rng(0))
    raw = array(network.layer_zero.ids)
    items = raw if temperature is None else over_length(raw)
    losses, lengths = [], []
    for history in ASKED:
        newest = history[-5:]  # four that are read, and the last target
        if len(newest) < 2:
            continue
        states = states_by_hand(network, items, newest[:-1])
        states = states if temperature is None else over_length(states) / temperature
        for state, target in zip(states, newest[1:], strict=True):
            losses.append(np.log(np.exp(items @ state).sum()) - items[target] @ state)
            lengths.append((raw[target] ** 2).sum())
    assert len(losses) == len(batch.targets) == 7
    expected = np.mean(losses) + reg * np.mean(lengths) / 2
    assert network.loss(batch, torch.Generator()).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [None, 0.2])
def test_states_of_many_histories_equal_those_of_each(temperature):
    network = small_network(temperature=temperature)
    items = network.item_vectors().detach()
    together = history_states(network.encoder, items, histories_of(ASKED), np.arange(5))
    for row, history in enumerate(ASKED):
        if not history:
            assert not together[row].any()
            continue
        expected = states_by_hand(network, array(items), history[-4:])[-1]
        expected = expected if temperature is None else expected / np.linalg.norm(expected)
        np.testing.assert_allclose(together[row].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_histories_are_read_in_pieces(monkeypatch):
    network = small_network()
    items = network.item_vectors().detach()
    rows = np.array([3, 2, 0, 4, 3, 1, 2])
    whole = history_states(network.encoder, items, histories_of(ASKED), rows)
    for size in (1, 3, 5):
        monkeypatch.setattr("recommender.sequence.model._EVENTS_AT_A_TIME", size)
        pieces = history_states(network.encoder, items, histories_of(ASKED), rows)
        torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-6)
    assert history_states(network.encoder, items, histories_of(ASKED), rows[:0]).shape == (0, 6)


def test_what_came_later_does_not_change_a_state():
    network = small_network()
    items = network.item_vectors().detach()
    first, changed = np.array([1, 5, 2, 0]), np.array([1, 5, 6, 3])
    lengths = np.array([4])
    with torch.no_grad():
        ours, other = (network.encoder(items, Sequences(line, lengths)) for line in (first, changed))
    torch.testing.assert_close(ours[:2], other[:2], rtol=0, atol=0)
    assert not torch.allclose(ours[2:], other[2:])


def test_gradients_reach_every_weight():
    network = small_network(num_layers=2)
    (batch,) = network.epoch(np.random.default_rng(0))
    network.loss(batch, torch.Generator().manual_seed(0)).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_dropout_draws_from_the_given_noise_alone():
    network = small_network(dropout=0.5)
    (batch,) = network.epoch(np.random.default_rng(0))
    before = torch.get_rng_state()
    losses = [network.loss(batch, torch.Generator().manual_seed(seed)).item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_costs_the_mean_of_its_histories():
    network = small_network(dropout=0.0)
    histories = histories_of(ASKED)
    whole, _ = newest_events(histories, np.array([0, 4]), 5)
    both = network.loss(_batch(histories, [0, 4]), torch.Generator())
    each = [network.loss(_batch(histories, [row]), torch.Generator()) for row in (0, 4)]
    assert whole.lengths.tolist() == [2, 3]
    torch.testing.assert_close(both, (2 * each[0] + each[1]) / 3)


def _batch(histories: Histories, rows: list[int]) -> SequenceBatch:
    rows = sorted(rows, key=lambda row: len(histories.of(row)))
    lines = [histories.of(row) for row in rows]
    lengths = np.array([len(line) - 1 for line in lines])
    return SequenceBatch(
        np.array(rows),
        Sequences(np.concatenate([line[:-1] for line in lines]), lengths),
        np.concatenate([line[1:] for line in lines]),
    )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_features_leave_the_pattern_learnable(fusion):
    data, answers = checkerboard()
    model = Model(Config(**QUICK, fusion=fusion))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))
    scores[data.train_users, data.train_items] = -np.inf
    assert (scores.argmax(axis=1) % 2 == answers % 2).mean() > 0.9  # the cold item is even by its text
    assert set(model.arrays()) == {"weights", "histories", "pca"}
    assert isinstance(model, ReadsFeatures)
    assert isinstance(model, ReadsHistories)
    same = model.with_features(data, parity_features())
    np.testing.assert_allclose(same.score(np.arange(41)), model.score(np.arange(41)), rtol=1e-4, atol=1e-5)


def test_text_places_an_item_that_nobody_had():
    data, _ = checkerboard()
    model = Model(Config(**QUICK, fusion="replace"))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))[:, COLD_ITEM]  # an even item by its text
    assert scores[::2].mean() > scores[1::2].mean() + 0.2


def test_other_histories_are_asked_of_the_same_weights():
    data, _ = checkerboard()
    model = Model(Config(**QUICK, max_length=3))
    model.fit(data, features=None, seed=0, progress=no_progress)
    asked = [[2, 4, 6, 8], [3], [], [0, 1], [4, 6, 8], data.histories.of(7).tolist()]
    other = model.with_histories(histories_of(asked))
    scores = other.score(np.arange(6))
    even, odd = np.arange(0, 20, 2), np.arange(1, 20, 2)
    assert scores[0, even].mean() > scores[0, odd].mean() + 0.2
    assert scores[1, odd].mean() > scores[1, even].mean() + 0.2
    np.testing.assert_allclose(scores[0], scores[4], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores[5], model.score(np.array([7]))[0], rtol=1e-5, atol=1e-6)
    average = model.score(np.arange(40)).mean(axis=0)
    np.testing.assert_allclose(scores[2], average, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.score(np.array([COLD_USER]))[0], average, rtol=1e-3, atol=1e-4)
    again = Model(Config(**QUICK, max_length=3))
    again.load_arrays(other.arrays())
    np.testing.assert_array_equal(again.score(np.arange(6)), scores)


def test_what_the_model_cannot_do_is_refused():
    data, _ = checkerboard()
    with pytest.raises(StoreError, match=r"this sasrec is empty\.\n  Call fit or load_arrays first"):
        Model(Config()).with_histories(histories_of([[1]]))
    with pytest.raises(UsageError, match=r"sasrec uses no user features: .*\n  Leave --user-features out"):
        Model(Config()).fit(
            data, features=NodeFeatures(users=parity_features().items), seed=0, progress=no_progress
        )
    with pytest.raises(ValueError, match="embedding_dim=64 is no multiple of num_heads=3"):
        Config(num_heads=3, embedding_dim=64)
    model = Model(Config(**(QUICK | {"epochs": 1})))
    model.fit(data, features=None, seed=0, progress=no_progress)
    with pytest.raises(StoreError, match=r"this sasrec was fitted without features\.\n  Train it with"):
        model.with_features(data, parity_features())

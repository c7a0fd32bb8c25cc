"""Six models of what comes next: states and losses against the formulas of their papers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from baselines_by_hand import (
    bert4rec_state,
    caser_state,
    cloze_by_hand,
    fdsa_state,
    fpmc_state,
    hcgr_state,
    hgn_state,
    product_by_hand,
    unit,
)
from session_by_hand import array, sigmoid

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.data import TrainingData, group_by_time, training_data
from recommender.models import bert4rec, caser, fdsa, fpmc, hcgr, hgn
from recommender.models.bert4rec import with_last
from recommender.sequence.catalogue_network import CatalogueNetwork
from recommender.sequence.model import history_states
from recommender.sequence.sequences import Sequences
from recommender.sequence.user_network import UserSequenceNetwork, user_history_states
from recommender.sequence.windows import window_places
from recommender.testing import checkerboard
from recommender.training.other_items import other_items

MODELS = {"fpmc": fpmc, "caser": caser, "hgn": hgn, "bert4rec": bert4rec, "fdsa": fdsa, "hcgr": hcgr}
OF_USERS = {"fpmc": 3, "caser": 3, "hgn": 2}
BY_HAND: dict[str, Callable[..., np.ndarray]] = {
    "fpmc": fpmc_state,
    "caser": caser_state,
    "hgn": hgn_state,
    "bert4rec": bert4rec_state,
    "fdsa": fdsa_state,
    "hcgr": hcgr_state,
}
SMALL = {"embedding_dim": 6, "max_length": 4, "init_std": 0.5, "dropout": 0.0, "batch_size": 1_000}
MORE = {
    "fpmc": {},
    "caser": {"window": 3, "num_horizontal": 2, "num_vertical": 2},
    "hgn": {"window": 3},
    "bert4rec": {"feedforward_dim": 5},
    "fdsa": {"feedforward_dim": 5, "temperature": None},
    "hcgr": {"num_negatives": 3},
}
ASKED = [[1, 5, 2], [3], [], [0, 6, 2, 0, 1, 0], [2, 2, 4]]
TEXTS = np.random.default_rng(4).standard_normal((7, 5)).astype(np.float32)
NONE = np.array([], np.int64)

every_model = pytest.mark.parametrize("name", MODELS)
Network = CatalogueNetwork | UserSequenceNetwork


def flat(histories: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return users, np.array([item for history in histories for item in history], np.int64)


def small_data() -> TrainingData:
    return training_data(num_users=len(ASKED), num_items=7, train=flat(ASKED), valid=(NONE, NONE))


def small_network(name: str, **settings: object) -> Network:
    module = MODELS[name]
    config = module.Config(**(SMALL | MORE[name] | settings))
    vectors = (None, TEXTS if name == "fdsa" else None)
    model = module.Model(config)
    network_type = model._learner()._network_type if name in OF_USERS else model._network_type
    network = network_type(config, small_data(), vectors, 1)
    with torch.no_grad():  # biases of zero, and norms that change nothing, would hide a part that is left out
        for weight in network.encoder.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)), alpha=0.2)
    return network


def state_by_hand(
    name: str, network: Network, row: int, history: list[int], temperature: float | None, num_later: int = 0
) -> np.ndarray:
    """(r,) of one history of one user."""
    more = [array(network.users)[row]] if name in OF_USERS else [num_later] if name == "fdsa" else []
    state = BY_HAND[name](network.encoder, array(network.items()), history, *more)
    return state if temperature is None or name == "hcgr" else unit(state)


def softmax_loss(state: np.ndarray, items: np.ndarray, target: int, temperature: float | None) -> float:
    logits = items[:, : len(state)] @ state / (temperature or 1.0)
    return float(np.log(np.exp(logits).sum()) - logits[target])


def prefixes() -> list[tuple[int, list[int], int, int]]:
    """User, what was read, what came next, and how many events are read after it."""
    newest = [(row, history[-5:]) for row, history in enumerate(ASKED)]
    return [(row, read[:n], read[n], len(read) - 1 - n) for row, read in newest for n in range(1, len(read))]


@pytest.mark.parametrize("temperature", [None, 0.3])
@every_model
def test_states_equal_the_formulas(name, temperature):
    network = small_network(name, temperature=temperature)
    items = network.items().detach()
    histories = group_by_time(*flat(ASKED), len(ASKED))
    if name in OF_USERS:
        found = user_history_states(network.encoder, items, histories, np.arange(5), network.users)
    else:
        found = history_states(network.encoder, items, histories, np.arange(5))
    vectors, scored = network.score_vectors()
    assert torch.equal(vectors, found)
    assert torch.equal(scored, items)
    for row, history in enumerate(ASKED):
        if not history:
            assert not found[row].any()
            continue
        expected = state_by_hand(name, network, row, history[-4:], temperature)
        np.testing.assert_allclose(found[row, : len(expected)].numpy(), expected, rtol=1e-4, atol=1e-5)
        assert not found[row, len(expected) :].any()


@pytest.mark.parametrize("reg", [0.0, 0.3])
@pytest.mark.parametrize("temperature", [None, 0.3])
@pytest.mark.parametrize("name", ["fpmc", "caser", "hgn", "fdsa", "hcgr"])
def test_the_loss_is_a_softmax_after_every_prefix(name, temperature, reg):
    more = {"contrast_weight": 0.0} if name == "hcgr" else {}
    network = small_network(name, temperature=temperature, reg=reg, **more)
    (batch,) = network.epoch(np.random.default_rng(0))
    items = array(network.items())
    losses, squares = [], []
    for row, history, target, num_later in prefixes():
        state = state_by_hand(name, network, row, history, temperature, num_later)
        losses.append(softmax_loss(state, items, target, temperature))
        squares += [(array(table)[target] ** 2).sum() for table in network.items.first()]
        if name in OF_USERS:
            squares.append((array(network.users)[row] ** 2).sum())
    assert len(losses) == len(batch.targets) == 8
    expected = np.mean(losses) + reg * np.sum(squares) / (2 * 8)
    assert network.loss(batch, torch.Generator()).item() == pytest.approx(expected, rel=1e-4)


@every_model
def test_the_penalty_reaches_vectors_of_which_only_the_direction_is_ranked_by(name):
    """By a vector's own length: a penalty of vectors of length 1 would have no gradient."""

    def gradient(reg: float) -> np.ndarray:
        network = small_network(name, temperature=0.3, reg=reg)
        (batch,) = network.epoch(np.random.default_rng(0))
        network.loss(batch, torch.Generator().manual_seed(0)).backward()
        ids = next(weight for at, weight in network.items.named_parameters() if at.endswith("ids"))
        counts = np.bincount(batch.targets, minlength=7)[:, None] / len(batch.targets)
        expected.append(counts * array(ids))
        assert ids.grad is not None
        return ids.grad.numpy()

    expected: list[np.ndarray] = []
    np.testing.assert_allclose(gradient(2.0) - gradient(0.0), 2 * expected[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("objective", ["bpr", "bce"])
@pytest.mark.parametrize("name", OF_USERS)
def test_the_papers_losses_are_of_drawn_negatives(name, objective):
    network = small_network(name, objective=objective, num_negatives=3)
    (batch,) = network.epoch(np.random.default_rng(0))
    items = array(network.items())
    targets = torch.from_numpy(batch.targets)
    drawn = other_items(targets, 7, 3, torch.Generator().manual_seed(5)).numpy()
    assert (drawn != batch.targets[:, None]).all()
    ends = np.cumsum(batch.sequences.lengths)
    losses = []
    for place, (line, target) in enumerate(zip(batch.lines, batch.targets, strict=True)):
        start = ends[line] - batch.sequences.lengths[line]
        history = batch.sequences.items[start : place + 1].tolist()
        state = state_by_hand(name, network, batch.rows[line], history, None)
        scores = items[:, : len(state)] @ state
        if objective == "bpr":
            losses.append(-np.log(sigmoid(scores[target] - scores[drawn[place]].max())))
        else:
            losses.append(-np.log(sigmoid(scores[target])) - np.log(sigmoid(-scores[drawn[place]])).mean())
    found = network.loss(batch, torch.Generator().manual_seed(5)).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


def test_negatives_are_any_other_item_alike():
    targets = torch.tensor([0, 2]).repeat(3_000)
    drawn = other_items(targets, 3, 2, torch.Generator().manual_seed(0))
    for target, others in ((0, (1, 2)), (2, (0, 1))):
        found = drawn[targets == target].flatten()
        assert set(found.tolist()) == set(others)
        assert (found == others[0]).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_the_cloze_loss_is_of_hidden_events():
    network = small_network("bert4rec")
    (batch,) = network.epoch(np.random.default_rng(0))
    encoder, items = network.encoder, array(network.items())
    whole = with_last(batch.sequences, batch.targets[batch.sequences.newest])
    hidden = encoder.chosen(whole, torch.device("cpu"), torch.Generator().manual_seed(3)).numpy()
    losses = []
    ends = np.cumsum(whole.lengths)
    for row, end, length in zip(batch.rows, ends, whole.lengths, strict=True):
        history = whole.items[end - length : end].tolist()
        assert history == ASKED[row][-5:]
        chosen = set(np.flatnonzero(hidden[end - length : end]).tolist())
        states = cloze_by_hand(encoder, items, history, chosen)
        losses += [softmax_loss(state, items, history[place], None) for place, state in states.items()]
    assert len(losses) == hidden.sum() >= 3
    found = network.loss(batch, torch.Generator().manual_seed(3)).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize(("hidden_share", "last_share"), [(0.4, 0.25), (0.4, 0.0), (0.01, 0.0), (0.9, 1.0)])
def test_some_events_are_hidden_and_one_of_every_history(hidden_share, last_share):
    config = bert4rec.Config(**SMALL, hidden_share=hidden_share, last_share=last_share)
    encoder = bert4rec.Encoder(config, torch.Generator())
    whole = Sequences(np.zeros(20_000, np.int64), np.full(4_000, 5))
    hidden = encoder.chosen(whole, torch.device("cpu"), torch.Generator().manual_seed(0))
    hidden = hidden.view(4_000, 5).numpy()
    assert hidden.any(axis=1).all()
    only_last = (hidden.sum(axis=1) == 1) & hidden[:, -1]
    alone = (1 - hidden_share) ** 4  # no other event is hidden: then the last one is, in any case
    assert only_last.mean() == pytest.approx(last_share + (1 - last_share) * alone, abs=0.03)
    assert hidden[:, 0].mean() == pytest.approx((1 - last_share) * hidden_share, abs=0.03)


def test_the_contrast_is_of_geodesic_distances():
    plain, network = (small_network("hcgr", contrast_weight=weight) for weight in (0.0, 0.7))
    (batch,) = network.epoch(np.random.default_rng(0))
    items = array(network.items())
    drawn = other_items(torch.from_numpy(batch.targets), 7, 3, torch.Generator().manual_seed(5)).numpy()
    ends = np.cumsum(batch.sequences.lengths)
    terms = []
    for place, (line, target) in enumerate(zip(batch.lines, batch.targets, strict=True)):
        start = ends[line] - batch.sequences.lengths[line]
        point = hcgr_state(network.encoder, items, batch.sequences.items[start : place + 1].tolist())
        point[0] *= -1
        away = [np.arccosh(-product_by_hand(point, items[j])) for j in (target, *drawn[place])]
        terms += [max(0.0, 0.5 + away[0] - other) for other in away[1:]]
    with_it, without = (
        each.loss(batch, torch.Generator().manual_seed(5)).item() for each in (network, plain)
    )
    assert with_it - without == pytest.approx(0.7 * np.mean(terms), rel=1e-3)


@every_model
def test_gradients_reach_every_weight(name):
    network = small_network(name, dropout=0.2)
    (batch,) = network.epoch(np.random.default_rng(0))
    network.loss(batch, torch.Generator().manual_seed(0)).backward()
    for weight_name, weight in network.named_parameters():
        assert weight.grad is not None, weight_name
        assert torch.isfinite(weight.grad).all(), weight_name
        assert weight.grad.abs().sum() > 0, weight_name


@every_model
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


def test_a_window_ends_with_its_event():
    sequences = Sequences(np.array([3, 4, 5, 6]), np.array([1, 3]))
    assert window_places(sequences, 2).tolist() == [[-1, 0], [-1, 1], [1, 2], [2, 3]]
    assert window_places(sequences, 4)[3].tolist() == [-1, 1, 2, 3]


def test_settings_that_do_not_fit_are_refused():
    data, _ = checkerboard()
    with pytest.raises(ValueError, match="embedding_dim=64 is no multiple of num_heads=3"):
        bert4rec.Config(num_heads=3)
    with pytest.raises(ValueError, match="embedding_dim=64 is no multiple of num_heads=3"):
        fdsa.Config(num_heads=3)
    with pytest.raises(ValueError, match="fdsa reads texts in a stream of their own; leave it out"):
        fdsa.Config(fusion="add")
    with pytest.raises(UsageError, match=r"none were given\.\n  Pass --features FEATURE; without, it is sas"):
        fdsa.Model(fdsa.Config()).fit(data, features=None, seed=0, progress=no_progress)

import numpy as np
import pytest
import torch
from isrf_by_hand import query_by_hand

from recommender.interests.history_query import HistoryQuery
from recommender.sequence.sequences import Sequences

DIM = 4
HISTORIES = [[2], [5, 1], [0, 3], [1, 4, 4, 2]]


def query(pooling: str) -> HistoryQuery:
    generator = torch.Generator().manual_seed(6)
    made = HistoryQuery(pooling, embedding_dim=DIM, max_length=4, dropout=0.3, generator=generator)
    with torch.no_grad():  # the first weights would hide a part that is left out
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.5)
    return made


def vectors() -> np.ndarray:
    drawn = np.random.default_rng(8).standard_normal((6, DIM))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def sequences() -> Sequences:
    items = np.array([item for history in HISTORIES for item in history])
    return Sequences(items, np.array([len(history) for history in HISTORIES]))


@pytest.mark.parametrize("pooling", ["decay", "attention"])
def test_queries_equal_the_formula_at_every_event(pooling):
    made, items = query(pooling), vectors()
    found = made(torch.from_numpy(items).float(), sequences()).detach().numpy()
    prefixes = [history[: end + 1] for history in HISTORIES for end in range(len(history))]
    weights = {name: weight.detach().double() for name, weight in made.named_parameters()}
    expected = [query_by_hand(weights, torch.from_numpy(items), prefix).numpy() for prefix in prefixes]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-4, atol=1e-5)


def test_decay_begins_where_counting_does():
    made = HistoryQuery("decay", embedding_dim=2, max_length=5, dropout=0.0, generator=torch.Generator())
    shares = made.ages.detach().softmax(dim=0).numpy()
    np.testing.assert_allclose(shares[1:] / shares[:-1], 0.7, rtol=1e-5)
    assert {name for name, _ in made.named_parameters()} == {
        "ages",
        "weight_in",
        "bias_in",
        "weight_out",
        "bias_out",
    }


@pytest.mark.parametrize("pooling", ["decay", "attention"])
def test_gradients_reach_every_weight(pooling):
    made = query(pooling)
    found = made(torch.from_numpy(vectors()).float(), sequences())
    found[:, 0].sum().backward()
    for name, weight in made.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_dropout_draws_from_the_given_noise_alone():
    made, items = query("attention"), torch.from_numpy(vectors()).float()
    before = torch.get_rng_state()
    one, same, other = (
        made(items, sequences(), torch.Generator().manual_seed(seed)).detach() for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)

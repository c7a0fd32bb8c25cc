"""Who chooses temperatures and negatives, and the loss that is made of them."""

from math import exp, log

import pytest
import torch

from recommender.graph.node_contrast import contrast_in_batch
from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.contrast_side import Contrasted, ContrastSide, contrast_with_chosen

DEGREES = torch.tensor([2.0, 40.0, 8.0, 0.0, 15.0, 300.0, 1.0, 7.0, 90.0, 5.0])
NODES = torch.tensor([1, 4, 5])


def side(**settings) -> ContrastSide:
    reads_pool = settings.get("negatives_by") != "in_batch"
    sizes = {"pool_size": 8, "num_chosen": 4} if reads_pool else {}
    config = HgpoConfig(embedding_dim=3, **(sizes | settings))
    return ContrastSide(config, DEGREES, DEGREES, torch.Generator().manual_seed(0))


def given(pool: torch.Tensor) -> Contrasted:
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.randn(10, 3, generator=generator) for _ in range(2))
    return Contrasted(
        nodes=NODES,
        partners=NODES,
        pool=pool,
        own=first[NODES].requires_grad_(),
        positives=second[NODES],
        partner_vectors=second[NODES],
        candidates=second[pool],
    )


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.cosine_similarity(one.detach().double(), other.detach().double(), dim=0).item()


def by_hand(of: Contrasted, chosen: list[list[int]], temperatures: list[float]) -> float:
    total = 0.0
    for node, (columns, temperature) in enumerate(zip(chosen, temperatures, strict=True)):
        positive = exp(cosine(of.own[node], of.positives[node]) / temperature)
        negatives = [exp(cosine(of.own[node], of.candidates[c]) / temperature) for c in columns]
        total -= log(positive / (positive + sum(negatives)))
    return total / len(chosen)


def hardest(of: Contrasted, count: int) -> list[list[int]]:
    return [
        sorted(
            (column for column, row in enumerate(of.pool.tolist()) if row != node),
            key=lambda column: -cosine(of.own[line], of.candidates[column]),
        )[:count]
        for line, node in enumerate(of.nodes.tolist())
    ]


@pytest.mark.parametrize(
    ("temperature_by", "temperatures"),
    [
        ("fixed", [0.3] * 3),
        ("learned", [0.3] * 3),
        ("ideal", [1 / (1 + log(1 + degree)) for degree in (40.0, 15.0, 300.0)]),
    ],
)
def test_the_hardest_negatives_and_a_temperature_make_the_formula(temperature_by, temperatures):
    of = given(torch.tensor([7, 1, 5, 0, 4, 9, 2, 3]))
    constant = {} if temperature_by == "ideal" else {"temperature": 0.3}
    ours = side(negatives_by="hard", temperature_by=temperature_by, **constant)
    found = ours(of, torch.Generator())
    assert found.item() == pytest.approx(by_hand(of, hardest(of, 4), temperatures), abs=1e-5)


def test_a_learned_temperature_moves_by_its_groups_gradient():
    ours = side(negatives_by="hard", temperature_by="learned", temperature=0.3)
    assert ours.groups[NODES].tolist() == [2, 1, 4]
    ours(given(torch.arange(8)), torch.Generator()).backward()
    gradient = ours.raw_temperatures.grad
    assert (gradient != 0).tolist() == [False, True, True, False, True]


def test_uniform_negatives_are_any_of_the_pool_but_the_node():
    of, noise = given(torch.arange(8)), torch.Generator().manual_seed(0)
    settings = {"negatives_by": "uniform", "temperature_by": "fixed"}
    all_others = by_hand(of, hardest(of, 7), [0.2] * 3)
    assert side(**settings, num_chosen=7)(of, noise).item() == pytest.approx(all_others, abs=1e-5)
    losses = {round(side(**settings)(of, noise).item(), 4) for _ in range(20)}
    assert len(losses) > 10


def test_chosen_negatives_and_temperatures_enter_the_loss(monkeypatch):
    ours, of = side(), given(torch.arange(8))
    decisions = []
    decide = ours.agent.decide

    def recorded(*arguments):
        decisions.append(decide(*arguments))
        return decisions[-1]

    monkeypatch.setattr(ours.agent, "decide", recorded)
    found = ours(of, torch.Generator().manual_seed(0))
    chosen, temperatures = decisions[0].chosen.tolist(), decisions[0].temperatures.tolist()
    assert all(node not in columns for node, columns in zip(NODES.tolist(), chosen, strict=True))
    assert all(len(set(columns)) == 4 for columns in chosen)
    assert found.item() == pytest.approx(by_hand(of, chosen, temperatures), abs=1e-5)


def test_in_batch_negatives_are_those_of_the_contrast_in_batch():
    ours = side(negatives_by="in_batch", temperature_by="fixed", temperature=0.4)
    pool = ours.draw_pool(torch.Generator())
    assert len(pool) == 0, "nobody reads a pool"
    of = given(pool)
    expected = contrast_in_batch([of.own], [of.positives], 0.4)[0]
    torch.testing.assert_close(ours(of, torch.Generator()), expected)


def test_pools_are_distinct_rows_each_alike():
    ours, noise = side(), torch.Generator().manual_seed(0)
    pools = torch.stack([ours.draw_pool(noise) for _ in range(400)])
    assert all(len(set(pool.tolist())) == 8 for pool in pools)
    counts = torch.bincount(pools.flatten(), minlength=10) / 400
    torch.testing.assert_close(counts, torch.full((10,), 0.8), atol=0.08, rtol=0)


def test_a_side_of_one_node_has_nothing_to_contrast():
    config = HgpoConfig(embedding_dim=3)
    ours = ContrastSide(config, torch.ones(1), torch.ones(1), torch.Generator().manual_seed(0))
    pool, row = ours.draw_pool(torch.Generator()), torch.zeros(1, dtype=torch.int64)
    vectors = torch.ones(1, 3, requires_grad=True)
    loss = ours(Contrasted(row, row, pool, vectors, vectors, vectors, vectors), torch.Generator())
    loss.backward()
    assert loss.item() == 0


def test_gradients_reach_all_vectors_and_the_temperatures():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=1) for n in (4, 4, 6)]
    chosen = torch.stack([torch.randperm(6, generator=generator)[:2] for _ in range(4)])
    temperatures = torch.rand(4, generator=generator) + 0.2
    inputs = [part.double().requires_grad_() for part in (*parts, temperatures)]
    own, positives, candidates, given_temperatures = inputs
    assert torch.autograd.gradcheck(
        lambda *of: contrast_with_chosen(of[0], of[1], (of[0] @ of[2].T).gather(1, chosen), of[3]),
        (own, positives, candidates, given_temperatures),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_chosen": 100}, "num_chosen=100 leaves nothing to choose of pool_size=100"),
        ({"num_groups": 3}, "num_groups=3 needs groups=quantile; groups=degree makes 5"),
        ({"advantage": "anchor"}, "compares actions of a node; raise num_samples to 2 or more"),
        ({"temperature": 1.5}, "temperature=1.5 is not between temperature_min=0.05 and temperature_max=1.0"),
        ({"positive_layer": 3}, "positive_layer=3 describes nodes of the other side; take an even one"),
    ],
)
def test_settings_that_do_not_fit_say_so(settings, message):
    with pytest.raises(ValueError, match=message):
        HgpoConfig(**settings)

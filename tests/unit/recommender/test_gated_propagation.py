import numpy as np
import pytest
import recmind_by_hand as by_hand
import torch

from recommender.graph.gated_propagation import GatedPropagation, GateInputs
from recommender.graph.propagation import normalized_adjacency

N, DIM = by_hand.NUM_USERS + by_hand.NUM_ITEMS, 3
RANKED, ALIGNED = torch.tensor([0, 5, 2, 5, 8]), torch.tensor([1, 5, 6])


def propagation(**settings) -> GatedPropagation:
    adjacency = normalized_adjacency(
        np.array(by_hand.USERS),
        np.array(by_hand.ITEMS),
        num_users=by_hand.NUM_USERS,
        num_items=by_hand.NUM_ITEMS,
    )
    return GatedPropagation(adjacency, **({"num_layers": 3, "graph_share": 0.7} | settings)).double()


def inputs() -> GateInputs:
    generator = torch.Generator().manual_seed(0)
    ids, text = torch.randn(2, N, DIM, generator=generator, dtype=torch.float64)
    weight = torch.randn(2 * DIM + 1, generator=generator, dtype=torch.float64)
    degrees = torch.tensor([by_hand.degree_feature(node) for node in range(N)])
    return GateInputs(ids, text, degrees, weight, torch.tensor([0.3], dtype=torch.float64))


SETTINGS = pytest.mark.parametrize(
    "settings",
    [{}, {"first_gated": 4}, {"fixed_gate": 0.3}, {"fixed_gate": 1.0}, {"num_layers": 0}],
    ids=["learned", "items-only", "fixed", "late", "no-layers"],
)


@SETTINGS
def test_rows_equal_the_formulas(settings):
    given = inputs()
    means, gates = by_hand.propagate(
        given.ids.numpy(),
        given.text.numpy(),
        given.weight.numpy(),
        0.3,
        num_layers=settings.get("num_layers", 3),
        first_gated=settings.get("first_gated", 0),
        fixed=settings.get("fixed_gate"),
    )
    final = 0.7 * means + 0.3 * given.text.numpy()
    read = propagation(**settings).rows(given, RANKED, ALIGNED)
    np.testing.assert_allclose(read.final, final[RANKED], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(read.means, means[ALIGNED], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(read.text, given.text[ALIGNED])
    np.testing.assert_allclose(read.all_means, means, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(read.squares, sum((given.ids.numpy()[row] ** 2).sum() for row in RANKED))
    everything, of_all = propagation(**settings).everything(given)
    np.testing.assert_allclose(everything, final, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(of_all, gates, rtol=1e-6)


@SETTINGS
def test_gradients_equal_finite_differences(settings):
    given, operator = inputs(), propagation(**settings)

    def read(ids, text, weight, bias):
        return operator.rows(GateInputs(ids, text, given.degrees, weight, bias), RANKED, ALIGNED)[:4]

    leaves = [tensor.requires_grad_() for tensor in (given.ids, given.text, given.weight, given.bias)]
    assert torch.autograd.gradcheck(read, leaves, atol=1e-5, rtol=1e-4)


def test_ids_that_do_not_learn_get_no_gradient():
    given = inputs()
    given.text.requires_grad_()
    propagation().rows(given, RANKED, ALIGNED).final.sum().backward()
    assert given.ids.grad is None
    assert given.text.grad is not None


def test_many_nodes_go_through_in_several_parts(monkeypatch):
    whole = propagation().rows(inputs(), RANKED, ALIGNED)
    monkeypatch.setattr("recommender.graph.gated_propagation._ROWS_AT_A_TIME", {"cpu": 2})
    for one, other in zip(whole, propagation(first_gated=0).rows(inputs(), RANKED, ALIGNED), strict=True):
        torch.testing.assert_close(one, other)
    given, operator = inputs(), propagation(first_gated=4)
    leaves = [tensor.requires_grad_() for tensor in (given.ids, given.text)]

    def read(ids, text):
        return operator.rows(GateInputs(ids, text, given.degrees, given.weight, given.bias), RANKED, ALIGNED)[
            :4
        ]

    assert torch.autograd.gradcheck(read, leaves, atol=1e-5, rtol=1e-4)

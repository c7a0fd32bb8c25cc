import numpy as np
import pytest
import recmind_by_hand as by_hand
import torch

from featurestore.errors import UsageError
from recommender.data import TrainingData, training_data
from recommender.graph.neighbour_means import NeighbourMeans
from recommender.model_arrays import parameter_arrays
from recommender.text.node_texts import TextVectors
from recommender.training.embedding_config import EmbeddingConfig

CONFIG = EmbeddingConfig(embedding_dim=3, init_std=0.5)
NOBODY = np.zeros(0, np.int64)


def world() -> TrainingData:
    return training_data(
        num_users=by_hand.NUM_USERS,
        num_items=by_hand.NUM_ITEMS,
        train=(np.array(by_hand.USERS), np.array(by_hand.ITEMS)),
        valid=(NOBODY, NOBODY),
    )


def texts(num_rows: int, *, without: int, seed: int, dim: int = 4) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(num_rows, dim)).astype(np.float32)
    vectors[without] = 0
    return vectors


def vectors_of(users: np.ndarray | None, items: np.ndarray | None) -> TextVectors:
    found = TextVectors(CONFIG, world(), (users, items), torch.Generator().manual_seed(0))
    with torch.no_grad():
        found.inner_bias += 0.3
        found.outer_bias -= 0.2
        found.scaled_outer += 0.5
    return found


def weights_of(text: TextVectors) -> dict[str, np.ndarray]:
    return {n.removeprefix("parameter."): a.astype(float) for n, a in parameter_arrays(text).items()}


@pytest.mark.parametrize("hidden", [[], [5], [5, 6], [4, 5, 6, 8]], ids=str)
def test_texts_of_items_equal_the_formula(hidden):
    items = texts(5, without=3, seed=1)
    text = vectors_of(None, items)
    weights = weights_of(text)
    mask = torch.zeros(9, dtype=torch.bool)
    mask[hidden] = True
    expected = by_hand.text_vectors(items.astype(float) / 4, hidden, weights["items.scaled"], weights)
    np.testing.assert_allclose(text.table(mask).detach(), expected, rtol=1e-4, atol=1e-5)
    if not hidden:
        np.testing.assert_allclose(text.table().detach(), expected, rtol=1e-4, atol=1e-5)


def test_with_texts_of_both_sides_a_neighbour_speaks_for_itself():
    users, items = texts(4, without=1, seed=2, dim=2), texts(5, without=3, seed=1)
    text = vectors_of(users, items)
    weights, table = weights_of(text), text.table().detach().numpy()
    of_users, of_items = weights["users.scaled"] / 2, weights["items.scaled"] / 4
    np.testing.assert_allclose(table[2], of_users @ users[2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table[4 + 2], of_items @ items[2], rtol=1e-5, atol=1e-6)
    user_mean = (of_items @ items[1] + of_items @ items[2]) / 2  # user 1 had items 1 and 2
    np.testing.assert_allclose(table[1], by_hand.fallback(1, user_mean, weights), rtol=1e-4, atol=1e-5)
    item_mean = (of_users @ users[0] + of_users @ users[2]) / 2  # item 3 was had by users 0 and 2
    np.testing.assert_allclose(table[7], by_hand.fallback(7, item_mean, weights), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("with_users", [False, True])
@pytest.mark.parametrize("with_items", [False, True])
def test_some_nodes_alone_are_as_in_the_table(with_users, with_items):
    if not (with_users or with_items):
        with pytest.raises(UsageError, match=r"(?s)reads vectors of texts, and none were given.*--features"):
            vectors_of(None, None)
        return
    users = texts(4, without=1, seed=2, dim=2) if with_users else None
    items = texts(5, without=3, seed=1) if with_items else None
    text = vectors_of(users, items)
    table = text.table()
    for side, rows in enumerate((torch.tensor([3, 1, 0, 1]), torch.tensor([4, 3, 0]))):
        torch.testing.assert_close(text(side, rows), table[rows + 4 * side])
        assert text.frozen(side).shape == (
            (4, 5)[side],
            (2, 4)[side] if with_users and with_items else (4 if with_items else 2),
        )


def test_gradients_equal_finite_differences():
    text = vectors_of(None, texts(5, without=3, seed=1)).double()
    hidden = torch.tensor([False] * 4 + [True] + [False] * 4)
    names = [name for name, weight in text.named_parameters() if weight.requires_grad]

    def table(*weights):
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(_Table(text), {f"text.{n}": w for n, w in given.items()}, (hidden,))

    leaves = [text.get_parameter(name).detach().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(table, leaves, atol=1e-5, rtol=1e-4)


class _Table(torch.nn.Module):
    def __init__(self, text: TextVectors) -> None:
        super().__init__()
        self.text = text

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.text.table(hidden)


def test_what_is_hidden_is_hidden_from_everything():
    items = texts(5, without=3, seed=1)
    other = items.copy()
    other[1] = 7.0
    mask = torch.zeros(9, dtype=torch.bool)
    mask[5] = True
    tables = [vectors_of(None, given).table(mask) for given in (items, other)]
    torch.testing.assert_close(*tables)


def test_the_largest_degree_is_that_of_training():
    text = vectors_of(None, texts(5, without=3, seed=1))
    assert text.degrees()[[0, 3]].tolist() == pytest.approx([1.0, 0.0])
    with torch.no_grad():
        text.largest_degree.fill_(7.0)
    assert text.degrees()[0].item() == pytest.approx(np.log(4) / np.log(8))


def test_means_are_of_known_neighbours():
    means = NeighbourMeans(world())
    vectors = torch.arange(10.0).view(5, 2)
    known = torch.tensor([True, False, False, True, True])
    found = means(0, vectors, known)
    expected = [[3.0, 4.0], [0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]  # users have items 0 1 3, 1 2, 0 2 3, none
    assert found.tolist() == expected
    assert means.reached(0, known).tolist() == [True, False, True, False]
    assert means.reached(1, torch.tensor([False, True, False, True])).tolist() == [
        False,
        True,
        True,
        False,
        False,
    ]

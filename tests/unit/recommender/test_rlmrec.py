import numpy as np
import pytest
import torch
from dense_graph import BATCH, bpr, check_loss_and_gradients, dense_adjacency, mean
from pydantic import ValidationError

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.models.rlmrec import Config, Model, Network
from recommender.testing import COLD_ITEM, checkerboard, parity_features

SETTINGS = {"embedding_dim": 4, "num_layers": 2, "init_std": 0.5, "reg": 0.3, "contrast_weight": 0.7}
NOISE = torch.Generator()


def item_vectors(*, without: int | None = None) -> np.ndarray:
    vectors = np.random.default_rng(1).normal(size=(21, 5)).astype(np.float32)
    if without is not None:
        vectors[without] = 0
    return vectors


def text_of(network: Network, side: int, row: int) -> torch.Tensor:
    adapter = network.texts[side].adapter
    weights = [w.detach().double() for w in (adapter.weight_in, adapter.bias_in)]
    given = network.texts[side].vectors[row].double()
    inner = weights[0] @ given + weights[1]
    inner = torch.where(inner > 0, inner, 0.01 * inner)
    return adapter.weight_out.detach().double() @ inner + adapter.bias_out.detach().double()


@pytest.mark.parametrize("without", [None, 5])
@pytest.mark.parametrize("with_users", [False, True])
def test_loss_and_gradients_equal_the_formula(without, with_users):
    users = np.random.default_rng(2).normal(size=(41, 3)).astype(np.float32) if with_users else None
    vectors = (users, item_vectors(without=without))
    network = Network(Config(**SETTINGS, temperature=0.5), checkerboard()[0], vectors, seed=1)
    items = [item for item in sorted({*BATCH.positives}) if item != without]
    sides = [(1, 41, items)] + ([(0, 0, sorted({*BATCH.users}))] if with_users else [])

    def expected(ids: torch.Tensor) -> torch.Tensor:
        dense = dense_adjacency(checkerboard()[0])
        final = mean([ids, dense @ ids, dense @ dense @ ids])
        loss = bpr(final, ids, 41, reg=0.3)
        for side, first, rows in sides:
            texts = torch.stack([text_of(network, side, row) for row in rows])
            for place, row in enumerate(rows):
                cosines = torch.cosine_similarity(final[first + row][None], texts) / 0.5
                loss = loss - 0.7 * torch.log_softmax(cosines, dim=0)[place] / len(rows)
        return loss

    check_loss_and_gradients(network, expected, NOISE)
    assert network.texts[1].adapter.weight_in.grad.abs().max() > 0


def test_scores_read_no_text():
    data, _ = checkerboard()
    one, other = (
        Network(Config(**SETTINGS), data, (None, vectors), seed=1)
        for vectors in (item_vectors(), item_vectors() * 2)
    )
    torch.testing.assert_close(one.score_vectors(), other.score_vectors())


def test_it_learns_and_agrees_with_texts():
    data, answers = checkerboard()
    settings = {"epochs": 20, "batch_size": 128, "learning_rate": 0.05, "embedding_dim": 8, "reg": 0.0}
    model = Model(Config(**settings, contrast_weight=0.2))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))
    scores[data.train_users, data.train_items] = -np.inf
    scores[:, COLD_ITEM] = -np.inf
    assert (scores.argmax(axis=1) == answers).mean() > 0.9
    assert set(model.arrays()) == {"weights", "pca"}


def test_without_texts_it_is_refused():
    with pytest.raises(UsageError, match=r"rlmrec contrasts with vectors of texts, and none were given"):
        Model(Config()).fit(checkerboard()[0], features=None, seed=0, progress=no_progress)


def test_a_fusion_is_refused():
    with pytest.raises(ValidationError, match="rlmrec contrasts with vectors and puts them into nothing"):
        Config(fusion="add")

import numpy as np
import pytest
import torch
from dense_graph import BATCH, dense_adjacency, mean
from pydantic import ValidationError

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.features import EntityFeatures, NodeFeatures
from recommender.models.alpharec import Config, Model, Network
from recommender.testing import COLD_ITEM, checkerboard, parity_features

SETTINGS = {"embedding_dim": 4, "num_layers": 2, "temperature": 0.5}


def network(**settings) -> Network:
    vectors = np.random.default_rng(1).normal(size=(21, 5)).astype(np.float32)
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, vectors), seed=1)


def final_vectors(ours: Network, weights: list[torch.Tensor]) -> torch.Tensor:
    data, _ = checkerboard()
    items = torch.from_numpy(np.random.default_rng(1).normal(size=(21, 5)).astype(np.float32)).double()
    inputs = []
    for user in range(41):
        history = data.seen.of(user)
        inputs.append(items[history].mean(dim=0) if len(history) else torch.zeros(5).double())
    first, dense = [], dense_adjacency(data)
    for given in (*inputs, *items):
        inner = weights[0] @ given + weights[1]
        first.append(weights[2] @ torch.where(inner > 0, inner, 0.01 * inner) + weights[3])
    ids = torch.stack(first)
    return mean([ids, dense @ ids, dense @ dense @ ids])


def weights_of(ours: Network) -> list[torch.Tensor]:
    names = ("weight_in", "bias_in", "weight_out", "bias_out")
    return [getattr(ours.adapter, name).detach().double().requires_grad_() for name in names]


def test_loss_and_gradients_equal_the_formula():
    ours = network(num_negatives=12)
    drawn = torch.randperm(21, generator=torch.Generator().manual_seed(4))[:12].tolist()
    loss = ours.loss(BATCH, torch.Generator().manual_seed(4))
    loss.backward()
    weights, losses = weights_of(ours), []
    final = final_vectors(ours, weights)
    for user, positive in zip(BATCH.users, BATCH.positives, strict=True):
        history = checkerboard()[0].seen.of(user)
        rows = [positive, *(item for item in drawn if item not in history)]
        assert len(rows) < 13, "nothing of the user's own was drawn"
        cosines = torch.stack([torch.cosine_similarity(final[user], final[41 + row], dim=0) for row in rows])
        losses.append(-torch.log_softmax(cosines / 0.5, dim=0)[0])
    expected = torch.stack(losses).mean()
    expected.backward()
    torch.testing.assert_close(loss.detach().double(), expected.detach(), atol=1e-5, rtol=1e-5)
    for name, weight in zip(("weight_in", "bias_in", "weight_out", "bias_out"), weights, strict=True):
        found = getattr(ours.adapter, name).grad.double()
        torch.testing.assert_close(found, weight.grad, atol=1e-5, rtol=1e-3)


def test_scores_are_cosines():
    ours = network()
    users, items = ours.score_vectors()
    final = final_vectors(ours, weights_of(ours)).detach()
    expected = torch.nn.functional.normalize(final, dim=1)
    torch.testing.assert_close(torch.cat([users, items]).double(), expected, atol=1e-5, rtol=1e-4)


def test_a_batch_whose_negatives_are_all_its_users_own_is_finite():
    ours = network(num_negatives=1)
    for seed in range(5):
        assert torch.isfinite(ours.loss(BATCH, torch.Generator().manual_seed(seed)))


def test_text_places_an_item_that_nobody_had():
    data, _ = checkerboard()
    model = Model(Config(epochs=15, batch_size=128, learning_rate=0.01, embedding_dim=8))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))[:, COLD_ITEM]  # an even item by its text
    assert scores[::2].mean() > scores[1::2].mean() + 0.5
    assert set(model.arrays()) == {"weights", "pca"}
    same = model.with_features(data, parity_features())
    np.testing.assert_allclose(same.score(np.arange(40)), model.score(np.arange(40)), rtol=1e-5, atol=1e-6)


def test_it_needs_vectors_of_items_and_no_others():
    data, _ = checkerboard()
    with pytest.raises(UsageError, match="made of vectors of items, and none were given"):
        Model(Config()).fit(data, features=None, seed=0, progress=no_progress)
    matrix = np.random.default_rng(0).normal(size=(41, 3)).astype(np.float32)
    both = NodeFeatures(parity_features().items, EntityFeatures(matrix, np.ones(41, np.bool_)))
    with pytest.raises(UsageError, match="alpharec uses no user features: a user is the items"):
        Model(Config()).fit(data, features=both, seed=0, progress=no_progress)


def test_a_fusion_is_refused():
    with pytest.raises(ValidationError, match="alpharec has no IDs that vectors could join"):
        Config(fusion="add")

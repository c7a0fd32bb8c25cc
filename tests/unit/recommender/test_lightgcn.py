import numpy as np
import pytest
import torch

from featurestore.progress import no_progress
from recommender.models.lightgcn import Config, LightGCNNetwork, LinearAdapter, Model
from recommender.sampling import PairBatch
from recommender.testing import COLD_ITEM, checkerboard, parity_features

QUICK = {
    "epochs": 60,
    "batch_size": 64,
    "learning_rate": 0.02,
    "eval_every": 20,
    "embedding_dim": 16,
    "reg": 0.0,
}


def test_adapter_equals_two_linear_layers_one_after_the_other():
    features = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    adapter = LinearAdapter(features, Config(embedding_dim=4), torch.Generator().manual_seed(1))
    with torch.no_grad():
        adapter.bias_in.normal_(generator=torch.Generator().manual_seed(2))
        adapter.bias_out.normal_(generator=torch.Generator().manual_seed(3))
    hidden = torch.nn.functional.linear(features, adapter.weight_in, adapter.bias_in)
    expected = torch.nn.functional.linear(hidden, adapter.weight_out, adapter.bias_out)
    assert adapter.weight_in.shape == (5, 6)  # hidden size (d' + d) / 2
    torch.testing.assert_close(adapter(), expected)


def test_text_places_an_item_that_nobody_had():
    data, _ = checkerboard()
    model = Model(Config(**QUICK, item_input="replace"))
    model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))[:, COLD_ITEM]  # an even item by its text
    assert scores[::2].mean() > scores[1::2].mean() + 0.5


@pytest.mark.parametrize("item_input", ["replace", "add"])
def test_features_leave_the_pattern_learnable(item_input):
    data, answers = checkerboard()
    model = Model(Config(**QUICK, item_input=item_input))
    report = model.fit(data, features=parity_features(), seed=0, progress=no_progress)
    scores = model.score(np.arange(40))
    scores[data.train_users, data.train_items] = -np.inf
    assert (scores.argmax(axis=1) % 2 == answers % 2).mean() > 0.9
    assert report.best_metric is not None
    assert set(model.arrays()) == {"weights", "pca"}


def test_replaced_items_have_no_id_embedding():
    data, _ = checkerboard()
    projected = np.zeros((21, 3), np.float32)
    replace = LightGCNNetwork(Config(item_input="replace"), data, projected, seed=0)
    add = LightGCNNetwork(Config(item_input="add"), data, projected, seed=0)
    assert (len(replace.ids), len(add.ids)) == (41, 62)


def test_every_parameter_gets_a_gradient():
    data, _ = checkerboard()
    projected = np.random.default_rng(0).standard_normal((21, 3)).astype(np.float32)
    network = LightGCNNetwork(Config(embedding_dim=4), data, projected, seed=0)
    network.loss(PairBatch(np.array([0, 1]), np.array([2, 5]), np.array([1, 4]))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_zero_layers_are_matrix_factorisation():
    data, _ = checkerboard()
    network = LightGCNNetwork(Config(embedding_dim=4, num_layers=0), data, None, seed=0)
    users, items = network.score_vectors()
    torch.testing.assert_close(users[:40], network.ids.detach()[:40])
    torch.testing.assert_close(items, network.ids.detach()[41:])


def test_a_user_without_events_is_an_average_user():
    data, _ = checkerboard()
    network = LightGCNNetwork(Config(embedding_dim=4), data, None, seed=0)
    users, _ = network.score_vectors()
    torch.testing.assert_close(users[40], users[:40].mean(dim=0))

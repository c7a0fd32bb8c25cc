"""RecMind once it is fitted: what it learns, how it goes on, and new items and changed users."""

from dataclasses import replace

import numpy as np
import pytest
import recmind_by_hand as by_hand
from test_recmind import QUICK, unjudged

from featurestore.errors import InputError, StoreError, UsageError
from featurestore.progress import no_progress
from recommender.checkpoint import CheckpointFile
from recommender.data import TrainingData, training_data
from recommender.features import EntityFeatures, NodeFeatures
from recommender.models.recmind import Config, Model
from recommender.testing import COLD_ITEM, checkerboard, checkerboard_features, parity_features
from recommender.training.trainer import train


def fitted(features: NodeFeatures | None, data: TrainingData | None = None, **given_settings) -> Model:
    model = Model(Config(**(QUICK | {"reg": 0.0} | given_settings)))
    model.fit(data or checkerboard()[0], features=features, seed=3, progress=no_progress)
    return model


def both_sides() -> NodeFeatures:
    matrix = np.random.default_rng(4).normal(0, 0.1, (41, 5)).astype(np.float32)
    matrix[:, 0] += np.where(np.arange(41) % 2 == 0, 1.0, -1.0)
    known = np.arange(41) != 2
    matrix[~known] = 0
    return NodeFeatures(parity_features().items, EntityFeatures(matrix, known, ("1" * 32,)))


def test_phase_1_rises_to_the_learning_rate_before_it_ends(monkeypatch):
    given: list[tuple[int, float]] = []

    def noted(phase, data, config, **rest):
        given.append((config.epochs, config.warmup_epochs))
        return train(phase, data, config, **rest)

    monkeypatch.setattr("recommender.two_phase_model.train", noted)
    fitted(checkerboard_features(), alignment_epochs=2, epochs=4, warmup_epochs=3)
    assert given == [(2, 2), (4, 3)]


@pytest.mark.parametrize("seen", ["items", "users", "both"])
def test_it_learns_from_texts_of_either_side(seen):
    given = both_sides()
    features = NodeFeatures(
        given.items if seen != "users" else None, given.users if seen != "items" else None
    )
    data, answers = checkerboard()
    model = fitted(features, data)
    scores = model.score(np.arange(41))
    assert np.isfinite(scores).all()
    scores[data.train_users, data.train_items] = -np.inf
    assert (scores[:40].argmax(axis=1) % 2 == answers % 2).mean() > 0.9
    assert set(model.arrays()) == {"weights"} | {"users": {"user_pca"}, "items": {"pca"}}.get(
        seen, {"pca", "user_pca"}
    )


@pytest.mark.parametrize(
    "given_settings",
    [
        {"align": "none"},
        {"align": "users"},
        {"align": "items", "alignment_epochs": 0},
        {"fixed_gate": 1.0},
        {"fixed_gate": 0.4, "gate_sides": "items"},
        {"alpha": 0.0, "num_layers": 0, "align": "none"},
        {"alpha": 1.0, "fixed_gate": 1.0, "align": "none"},
        {"negatives": "popularity", "popularity_power": -0.75},
        {"hidden_share": 0.0, "align": "none"},
    ],
    ids=str,
)
def test_ablations_are_settings(given_settings):
    model = fitted(checkerboard_features(), epochs=6, **given_settings)
    scores = model.score(np.arange(40))[:, :20]
    own = np.arange(40)[:, None] % 2 == np.arange(20)[None, :] % 2
    assert np.isfinite(scores).all()
    assert scores[own].mean() > scores[~own].mean()


def stopped_at(epoch: int):
    def progress(done: int, total: int, note: str = "") -> None:
        del note
        if (done, total) == (epoch, QUICK["epochs"]):
            raise KeyboardInterrupt

    return progress


def test_training_goes_on_from_a_checkpoint_to_the_bit(tmp_path):
    data = unjudged(checkerboard()[0])
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")
    found = []
    for checkpoint, progress in ((None, no_progress), (file, stopped_at(6)), (file, no_progress)):
        model = Model(Config(**QUICK))
        model.fit(data, features=both_sides(), seed=3, progress=progress, checkpoint=checkpoint)
        found.append(model.arrays()["weights"])
    assert not np.array_equal(found[0]["parameter.ids"], found[1]["parameter.ids"])
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[2][name], err_msg=name)


@pytest.mark.parametrize("epoch", [2, 3])
def test_stopped_in_phase_1_there_is_nothing_to_keep(epoch):
    def progress(done: int, total: int, note: str = "") -> None:
        del note
        if (done, total) == (epoch, 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Model(Config(**QUICK)).fit(
            checkerboard()[0], features=checkerboard_features(), seed=3, progress=progress
        )


def test_a_loaded_model_answers_the_same_questions():
    model, other = fitted(both_sides()), Model(Config(**QUICK))
    other.load_arrays(model.arrays())
    np.testing.assert_array_equal(other.gates(), model.gates())
    assert model.gates().shape == (3, 62)
    vectors = parity_features().items.matrix
    np.testing.assert_array_equal(other.vectors_of_new_items(vectors), model.vectors_of_new_items(vectors))
    data, users = checkerboard()[0], np.array([3, 0])
    renewed = other.vectors_of_users(data, both_sides(), users)
    np.testing.assert_allclose(renewed, model.vectors()[0].numpy()[users], rtol=1e-5, atol=1e-6)


def test_a_new_item_is_placed_by_its_text():
    features = parity_features()
    model = fitted(features)
    of_cold = model.score(np.arange(40))[:, COLD_ITEM]  # an even item by its text
    assert of_cold[::2].mean() > of_cold[1::2].mean()
    even, odd = features.items.matrix[[4, 8]], features.items.matrix[[5, 9]]
    found = model.vectors_of_new_items(np.concatenate([even, odd]))
    assert found.dtype == np.float32
    scores = model.vectors()[0].numpy()[:40] @ found.T  # (40, 4)
    assert (scores[::2, :2] > scores[::2, 2:]).all()
    assert (scores[1::2, :2] < scores[1::2, 2:]).all()
    weights = model.arrays()["weights"]
    pca = model.arrays()["pca"]
    projected = (even[0] - pca["mean"]) @ pca["components"] / pca["scale"] / 3
    expected = 0.2 * weights["parameter.text.items.scaled"] @ projected
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-6)


def test_new_items_need_vectors_like_those_of_training():
    model = fitted(parity_features(), epochs=1)
    with pytest.raises(InputError, match=r"have shape \(2, 7\); finite ones of shape \(n, 3\) were expected"):
        model.vectors_of_new_items(np.zeros((2, 7), np.float32))
    with pytest.raises(InputError, match="finite ones"):
        model.vectors_of_new_items(np.full((1, 3), np.nan, np.float32))
    of_users = fitted(NodeFeatures(users=both_sides().users), epochs=1)
    with pytest.raises(StoreError, match=r"(?s)fitted without vectors of items.*--features"):
        of_users.vectors_of_new_items(np.zeros((1, 3), np.float32))


def test_a_changed_history_changes_a_users_vector():
    data, _ = checkerboard()
    model = fitted(parity_features(), data)
    own = data.train_users == 0
    items = np.where(own, data.train_items + 1, data.train_items)  # user 0 turns to odd items
    changed = training_data(
        num_users=41, num_items=21, train=(data.train_users, items), valid=(np.array([0]), np.array([0]))
    )
    before = model.vectors()[0].numpy()
    after = model.vectors_of_users(changed, parity_features(), np.array([0]))[0]
    of_others = [before[2:40:2].mean(axis=0), before[1:40:2].mean(axis=0)]  # even and odd users
    nearness = [[by_hand.cosine(v, mean) for mean in of_others] for v in (before[0], after)]
    assert nearness[0][0] > nearness[0][1]
    assert nearness[1][1] - nearness[1][0] > nearness[0][1] - nearness[0][0] + 0.3
    np.testing.assert_array_equal(model.vectors()[0].numpy(), before)


def test_a_model_over_other_texts_keeps_its_weights():
    model = fitted(parity_features())
    items = parity_features().items
    swapped = NodeFeatures(items=replace(items, matrix=items.matrix[::-1].copy()))
    other = model.with_features(checkerboard()[0], swapped)
    weights, same = model.arrays()["weights"], other.arrays()["weights"]
    np.testing.assert_array_equal(same["parameter.ids"], weights["parameter.ids"])
    assert not np.allclose(same["item_vectors"], weights["item_vectors"])


def test_without_texts_it_is_refused():
    with pytest.raises(UsageError, match=r"reads vectors of texts, and none were given"):
        fitted(None)

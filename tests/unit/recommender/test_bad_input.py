"""Input at the edge of sense: a clear error, or a documented result, from every model there is."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from leak_world import add_item_vectors, ingested, published

from featurestore.errors import InputError, StoreError, UnknownNameError, UsageError
from featurestore.progress import no_progress
from featurestore.reader import Embeddings, FeatureStore
from featurestore.spec import EncoderSpec, ImportedVectorSpec
from recommender.base import ReadsHistories, Recommender
from recommender.data import TrainingData, load_training_data, training_data
from recommender.evaluate import evaluate_ranking
from recommender.evaluation.tasks import load_test_data
from recommender.features import EntityFeatures, NodeFeatures, entity_features, line_up
from recommender.models import popularity
from recommender.registry import find_model, model_names
from recommender.serve import top_items
from recommender.testing import NEEDS_FEATURES, quick_model

Pairs = Sequence[tuple[int, int]]

every_model = pytest.mark.parametrize("name", model_names())


def data_of(num_users: int, num_items: int, train: Pairs, valid: Pairs = ()) -> TrainingData:
    def columns(pairs: Pairs) -> tuple[Any, Any]:
        return tuple(np.array(pairs, np.int64).reshape(-1, 2).T)

    return training_data(num_users=num_users, num_items=num_items, train=columns(train), valid=columns(valid))


def fit(name: str, data: TrainingData) -> Recommender:
    features = None
    if name in NEEDS_FEATURES:
        matrix = np.random.default_rng(0).standard_normal((data.num_items, 3)).astype(np.float32)
        features = NodeFeatures(items=EntityFeatures(matrix, np.ones(data.num_items, np.bool_), ("0" * 32,)))
    model = quick_model(find_model(name))
    model.fit(data, features=features, seed=0, progress=no_progress)
    return model


@every_model
def test_one_user_is_enough(name):
    scores = fit(name, data_of(1, 3, [(0, 0), (0, 1)], [(0, 2)])).score(np.array([0]))
    assert scores.shape == (1, 3)
    assert np.isfinite(scores).all()


@every_model
@pytest.mark.parametrize(
    ("num_items", "train"),
    [
        pytest.param(2, [(0, 0), (0, 1)], id="one-user-with-every-item"),
        pytest.param(1, [(0, 0)], id="one-pair"),
    ],
)
def test_where_nothing_is_left_to_rank_below_models_that_learn_say_so(name, num_items, train):
    """Others make a list all the same; a model of sequences learns from the second event of a user.

    A model that cannot do without vectors needs two of them before anything else.
    """
    data = data_of(1, num_items, train)
    entry = find_model(name)
    learns = "epochs" in entry.config_type.model_fields
    if learns and not (isinstance(quick_model(entry), ReadsHistories) and len(train) > 1):
        if name in NEEDS_FEATURES and num_items == 1:
            with pytest.raises(StoreError, match="only 1 entities have a vector"):
                fit(name, data)
            return
        with pytest.raises(InputError, match="there is nothing to learn from"):
            fit(name, data)
    else:
        assert np.isfinite(fit(name, data).score(np.array([0]))).all()


@every_model
def test_a_user_without_training_items_is_scored_and_counted(name):
    data = data_of(3, 4, [(0, 0), (0, 1), (1, 1)], [(1, 0), (2, 3)])
    model = fit(name, data)
    assert np.isfinite(model.score(np.array([2]))).all()
    metrics = evaluate_ranking(model.score, data.valid)
    assert metrics.users.tolist() == [1, 2]
    assert metrics.per_user["hr@5"].tolist() == [1.0, 1.0]  # four items at most are ranked


@every_model
def test_an_item_that_nobody_had_in_training_has_a_score(name):
    data = data_of(2, 4, [(0, 0), (0, 1), (1, 1), (1, 2)], [(0, 3)])
    model = fit(name, data)
    assert np.isfinite(model.score(np.array([0, 1]))[:, 3]).all()
    assert evaluate_ranking(model.score, data.valid).per_user["recall@20"].tolist() == [1.0]


def test_an_item_seen_in_test_only_is_ranked_and_not_dropped(tmp_path):
    events = [("u1", item, time) for time, item in enumerate("abcx")]
    events += [("u2", item, time) for time, item in enumerate("abcd")]
    release = published(ingested(tmp_path, events))
    model = popularity.Model(popularity.Config())
    model.fit(load_training_data(release), features=None, seed=0, progress=no_progress)
    metrics = evaluate_ranking(model.score, load_test_data(release), cutoffs=(1,))
    # Each is asked for x or d, which nobody trained on: one of two equals at the top.
    assert metrics.per_user["hr@1"].tolist() == [0.5, 0.5]


@every_model
def test_duplicate_events_are_one_edge(name):
    once = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 3)]
    single = data_of(3, 4, once)
    doubled = data_of(3, 4, [pair for pair in once for _ in range(2)])
    np.testing.assert_array_equal(doubled.train_users, single.train_users)
    np.testing.assert_array_equal(doubled.train_items, single.train_items)
    assert doubled.histories.lengths.tolist() == [4, 4, 4]  # histories keep repeats
    assert np.isfinite(fit(name, doubled).score(np.arange(3))).all()


@every_model
def test_models_of_pairs_learn_nothing_from_duplicates(name):
    once = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 3)]
    users = np.arange(3)
    model = fit(name, data_of(3, 4, once))
    if isinstance(model, ReadsHistories):
        return  # what comes twice in a history does tell it something
    np.testing.assert_array_equal(fit(name, data_of(3, 4, once + once)).score(users), model.score(users))


def test_a_list_longer_than_the_catalogue_ends_where_the_items_do():
    data = data_of(2, 4, [(0, 2), (1, 0), (1, 1), (1, 2), (1, 3)])
    saved: Any = SimpleNamespace(model=fit("popularity", data))
    items, scores = top_items(saved, np.array([0, 1]), data.seen, 6)
    assert items.tolist() == [[0, 1, 3, -1, -1, -1], [-1] * 6]
    assert scores.tolist() == [[1.0, 1.0, 1.0, 0, 0, 0], [0.0] * 6]


@every_model
def test_cutoffs_beyond_the_catalogue_find_everything(name):
    data = data_of(2, 4, [(0, 0), (0, 3), (1, 1), (1, 3)], [(0, 1), (1, 2)])
    means = evaluate_ranking(fit(name, data).score, data.valid, cutoffs=(50,)).means()
    assert (means["hr@50"], means["recall@50"]) == (1.0, 1.0)
    assert 0 < means["ndcg@50"] <= 1


def test_nothing_to_train_on_is_refused():
    with pytest.raises(InputError, match=r"the training part holds no interactions\.\n  Ingest interactions"):
        data_of(2, 3, [], [(0, 1)])


def test_a_release_without_test_events_is_not_evaluated(tmp_path):
    release = published(ingested(tmp_path, [("u1", "a", 1), ("u1", "b", 2)], method="none"))
    with pytest.raises(InputError, match="has no test interactions, so nothing can be evaluated"):
        load_test_data(release)


def test_an_absent_feature_lists_those_there_are(tmp_path):
    store = ingested(tmp_path, [("u1", item, time) for time, item in enumerate("abcd")])
    with pytest.raises(UnknownNameError, match=r"^unknown vector feature 'item_cot'"):
        entity_features(published(store), "item", "item_cot")
    add_item_vectors(store, tmp_path, "item_text")
    with pytest.raises(
        UnknownNameError, match=r"The store has it, release 1 has not: `featurestore publish` releases it"
    ):
        entity_features(FeatureStore(store).release("1"), "item", "item_text")
    release = published(store)
    with pytest.raises(UnknownNameError, match=r"unknown vector feature 'item_cot'\..*item_text\.$"):
        entity_features(release, "item", "item_cot")
    with pytest.raises(UsageError, match="feature 'item_text' describes items; user features were expected"):
        entity_features(release, "user", "item_text")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_refused_by_name(value):
    encoder = EncoderSpec(
        name="toy", model="toy", pooling="mean", normalized=False, embedding_dim=2, max_tokens=8
    )
    spec = ImportedVectorSpec(
        feature="story", view="text", entity="item", producer="a test", content_digest="0", encoder=encoder
    )
    vectors = np.array([[1.0, 0.0], [value, 1.0], [0.5, 0.5]], np.float32)
    with pytest.raises(InputError, match=r"1 vectors of feature 'story' hold NaN or infinity.*of 'b'\."):
        line_up([Embeddings(pa.array(["a", "b", "c"]), vectors, spec=spec)], ["c", "b", "a", "d"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_not_ranked(value):
    data = data_of(2, 3, [(0, 0), (1, 1)], [(0, 1), (1, 2)])

    def score(users):
        scores = np.zeros((len(users), 3), np.float32)
        scores[0, 2] = value
        return scores

    with pytest.raises(InputError, match="the model gives scores that are not finite numbers"):
        evaluate_ranking(score, data.valid)


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        (([0], [7]), ([], []), "the training part names item row 7; rows are 0 to 2"),
        (([0], [-1]), ([], []), "the training part names item row -1; rows are 0 to 2"),
        (([0], [1]), ([2], [1]), "the validation part names user row 2; rows are 0 to 1"),
    ],
)
def test_rows_outside_of_the_id_maps_are_refused(train, valid, message):
    parts = [tuple(np.array(rows, np.int64) for rows in part) for part in (train, valid)]
    with pytest.raises(InputError, match=message):
        training_data(num_users=2, num_items=3, train=parts[0], valid=parts[1])

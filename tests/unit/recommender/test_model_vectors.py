"""Vectors of trained models as features of the store."""

from dataclasses import replace

import numpy as np
import pytest
from toy_store import QUICK, fill

from featurestore.errors import UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.spec import ModelVectorSpec
from featurestore.stores.memory import MemoryStore
from recommender.evaluation.compare import open_saved
from recommender.experiment import TrainRequest, train_models
from recommender.features import entity_features
from recommender.model_vectors import write_model_vectors
from recommender.saved import SavedModel


@pytest.fixture
def world(tmp_path):
    store = MemoryStore("vectors")
    fill(store, tmp_path)
    reader = FeatureStore(store)
    train_models(reader.release(), TrainRequest("lightgcn", QUICK), tmp_path / "m")
    saved, release = open_saved(tmp_path / "m", reader, None)
    return store, saved, release


def test_inner_products_of_stored_vectors_are_the_scores(world):
    store, saved, release = world
    written = write_model_vectors(store, saved, release, name="z_graph")
    publish(store, gates=GatePolicy())
    after = FeatureStore(store).release()
    users = entity_features(after, "user", "z_graph", view="user")
    items = entity_features(after, "item", "z_graph", view="item")
    assert users.has_vector.all()
    assert items.has_vector.all()
    np.testing.assert_allclose(
        users.matrix @ items.matrix.T, saved.model.score(np.arange(len(users.matrix))), atol=1e-6
    )
    assert users.spec_digests == (written["user"].spec.digest,)


def test_rows_name_the_training_part_and_the_model(world):
    store, saved, release = world
    spec = write_model_vectors(store, saved, release, name="z_graph")["item"].spec
    publish(store, gates=GatePolicy())
    pin = next(p for p in FeatureStore(store).release().features("vector") if p.spec == spec)
    assert pin.event_sets == (f"{release.manifest.split.checksum[:16]}:train",)
    assert isinstance(pin.spec, ModelVectorSpec)
    assert pin.spec.release == "1"
    assert pin.spec.encoder.name == "lightgcn"


def test_what_a_model_has_only_zeros_of_gets_no_row(world):
    store, saved, release = world

    class OneItemUnknown:
        def vectors(self):
            users, items = saved.model.vectors()
            items = items.clone()
            items[3] = 0
            return users, items

    write_model_vectors(store, replace(saved, model=OneItemUnknown()), release, name="z_graph")
    publish(store, gates=GatePolicy())
    items = entity_features(FeatureStore(store).release(), "item", "z_graph", view="item")
    assert np.flatnonzero(~items.has_vector).tolist() == [3]


def test_a_model_without_vectors_is_refused(tmp_path):
    store = MemoryStore("none")
    fill(store, tmp_path)
    reader = FeatureStore(store)
    train_models(reader.release(), TrainRequest("popularity"), tmp_path / "p")
    saved, release = open_saved(tmp_path / "p", reader, None)
    with pytest.raises(
        UsageError, match=r"popularity has no vectors of users and items: .*\n  Train a model that has"
    ):
        write_model_vectors(store, saved, release, name="z")


def test_a_name_that_no_feature_can_have_is_refused(world):
    store, saved, release = world
    assert isinstance(saved, SavedModel)
    with pytest.raises(UsageError, match=r"'a b' cannot name a feature\.\n  Use letters"):
        write_model_vectors(store, saved, release, name="a b")

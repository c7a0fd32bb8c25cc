"""Vectors of trained models as features of the store."""

from dataclasses import replace

import numpy as np
import pytest
from toy_store import QUICK, fill

from featurestore.errors import UsageError
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.spec import EncoderSpec, ModelVectorSpec, VectorSpec
from featurestore.stores.memory import MemoryStore
from recommender.evaluation.compare import open_saved
from recommender.experiment import TrainRequest, train_models
from recommender.features import entity_features
from recommender.model_vectors import write_model_vectors
from recommender.renewal import renew_vectors
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


def test_vectors_of_texts_are_not_replaced_by_a_model_s(world):
    """Both are called after RecMind by default: z^L of an adapter, and what the model ends with."""
    store, saved, release = world
    encoder = EncoderSpec(
        name="e", model="e", pooling="mean", normalized=True, embedding_dim=4, max_tokens=8, adapter="a" * 32
    )
    aligned = VectorSpec(feature="recmind", view="item", entity="item", text_digest="0" * 32, encoder=encoder)
    FeatureRegistry(store).register(aligned)
    with pytest.raises(UsageError) as caught:
        write_model_vectors(store, saved, release, name="recmind")
    assert caught.value.message == (
        "recmind.item is the name of vectors of texts in this store; a model's own vectors would take their "
        "place."
    )
    assert "such as --name recmind-model." in caught.value.hint
    assert FeatureRegistry(store).history("vector", "recmind", "user") == []
    write_model_vectors(store, saved, release, name="recmind-model")
    FeatureRegistry(store).register(aligned.model_copy(update={"feature": "recmind-model"}))
    with pytest.raises(UsageError, match=r"recmind-model\.item is the name of vectors of texts"):
        renew_vectors(store, saved, release, release, name="recmind-model")


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

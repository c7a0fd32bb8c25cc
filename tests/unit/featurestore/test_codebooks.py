import numpy as np
import pytest

from featurestore.codes.codebooks import Codebooks, Origin, about_path, centroids_path, load_codebooks
from featurestore.errors import InputError, MissingVersionError, StoreError
from featurestore.spec import EncoderSpec
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

ENCODER = EncoderSpec(name="e", model="m", pooling="mean", normalized=True, embedding_dim=2, max_tokens=8)
ORIGIN = Origin(encoder=ENCODER, num_vectors=10, event_set="abc:train", warm_start="0" * 32, iterations=3)
CENTROIDS = np.array([[[0, 0], [4, 0]], [[0, 1], [0, 2]]], np.float32)


@pytest.fixture(params=["memory", "lance"])
def store(request, tmp_path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


def test_codebooks_are_read_as_they_were_stored(store):
    codebooks = Codebooks(CENTROIDS, ORIGIN)
    codebooks.save(store.objects)
    codebooks.save(store.objects)
    loaded = load_codebooks(store.objects, codebooks.digest)
    np.testing.assert_array_equal(loaded.centroids, CENTROIDS)
    assert (loaded.origin, loaded.digest) == (ORIGIN, codebooks.digest)
    assert (loaded.num_levels, loaded.codebook_size) == (2, 2)
    assert store.objects.list("codebooks/") == [
        about_path(codebooks.digest),
        centroids_path(codebooks.digest),
    ]


def test_the_digest_is_that_of_the_centroids_alone():
    digest = Codebooks(CENTROIDS, ORIGIN).digest
    assert Codebooks(CENTROIDS.copy(), ORIGIN.model_copy(update={"iterations": 5})).digest == digest
    assert Codebooks(CENTROIDS + np.float32(1e-6), ORIGIN).digest != digest
    assert Codebooks(CENTROIDS.reshape(1, 4, 2), ORIGIN).digest != digest
    assert digest == "e183e91ea17656a860a6fd02d5de8c2b", "stored names must never change"


def test_codes_stand_for_the_sum_of_their_centroids():
    codebooks = Codebooks(CENTROIDS, ORIGIN)
    codes = np.array([[0, 1], [1, 0]], np.int32)
    np.testing.assert_array_equal(codebooks.decode(codes), [[0, 2], [4, 1]])
    np.testing.assert_array_equal(codebooks.decode(codes[:, :1]), [[0, 0], [4, 0]])


def test_what_cannot_be_codebooks_is_refused():
    with pytest.raises(InputError, match=r"of the shape \(levels, codes, d\), found \(2, 2\)"):
        Codebooks(CENTROIDS[0], ORIGIN)
    with pytest.raises(InputError, match="are finite numbers"):
        Codebooks(CENTROIDS * np.nan, ORIGIN)


def test_damage_is_named(store):
    codebooks = Codebooks(CENTROIDS, ORIGIN)
    with pytest.raises(MissingVersionError, match="holds no object 'codebooks/"):
        load_codebooks(store.objects, codebooks.digest)
    store.objects.put_new(centroids_path(codebooks.digest), b"other bytes")
    with pytest.raises(StoreError, match=r"is damaged: its centroids are others than its name says"):
        load_codebooks(store.objects, codebooks.digest)
    with pytest.raises(StoreError, match=r"is damaged: its centroids are others than its name says"):
        codebooks.save(store.objects)
    store.objects.delete(centroids_path(codebooks.digest))
    store.objects.delete(about_path(codebooks.digest))
    store.objects.put_new(about_path(codebooks.digest), b"{}")
    codebooks.save(store.objects)
    with pytest.raises(StoreError, match=r"is damaged: 3 validation errors") as caught:
        load_codebooks(store.objects, codebooks.digest)
    assert "train a new codebook with `featurestore semantic-ids --codebook new`" in caught.value.hint

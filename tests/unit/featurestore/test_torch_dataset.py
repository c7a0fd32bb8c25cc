"""A release's vectors as a torch ``Dataset``."""

import sys

import numpy as np
import pytest
from store_samples import ENCODER, ITEM_IDS, USER_IDS, add_texts, add_vectors, fill_store

from featurestore.errors import EmbeddingSpaceError, LeakError, MissingIdsError, SetupError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore, Release
from featurestore.releases.publish import publish
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy(max_duplicate_text_share=1.0)


def _release(store: MemoryStore) -> Release:
    publish(store, gates=POLICY)
    return FeatureStore(store).release()


@pytest.fixture
def store() -> MemoryStore:
    filled = MemoryStore()
    fill_store(filled)
    return filled


def test_a_loader_stacks_rows_of_the_id_map_and_vectors(store):
    data = pytest.importorskip("torch.utils.data")
    release = _release(store)
    dataset = release.dataset("item_text", ids=["i4", "i0", "i2"])
    assert isinstance(dataset, data.Dataset)
    assert (len(dataset), dataset.ids) == (3, ["i4", "i0", "i2"])
    first, last = data.DataLoader(dataset, batch_size=2)
    assert first.row.tolist() == release.id_map("item").row_of(["i4", "i0"]).tolist()
    np.testing.assert_array_equal(first.vector.numpy(), release.embeddings("item_text").rows(["i4", "i0"]))
    assert (last.row.tolist(), tuple(last.vector.shape)) == ([2], (1, 4))


def test_all_entities_with_a_vector_by_ascending_id(store):
    pytest.importorskip("torch")
    dataset = _release(store).dataset("item_text")
    assert dataset.ids == list(ITEM_IDS[:5])
    assert [int(row) for row, _ in dataset] == [0, 1, 2, 3, 4]
    assert _release(store).dataset("user_cot", "forward").ids == list(USER_IDS)


def test_a_sample_is_a_view_of_the_mapped_memory(store):
    pytest.importorskip("torch")
    dataset = _release(store).dataset("item_text")
    assert dataset[1].vector.data_ptr() - dataset[0].vector.data_ptr() == 4 * 4
    with pytest.raises(IndexError):
        dataset[5]


def test_a_fallback_serves_who_has_no_vector(store):
    pytest.importorskip("torch")
    text = add_texts(store, {"i0": "x", "i5": "y"}, feature="brief", view="text")
    add_vectors(store, text, ["i0", "i5"], seed=7)
    release = _release(store)
    dataset = release.dataset("item_text", fallback="brief", ids=["i5", "i0"])
    np.testing.assert_array_equal(dataset[0].vector, release.embeddings("brief").rows(["i5"])[0])
    np.testing.assert_array_equal(dataset[1].vector, release.embeddings("item_text").rows(["i0"])[0])
    assert release.dataset("item_text", fallback="brief").ids == list(ITEM_IDS)
    with pytest.raises(
        MissingIdsError, match=r"2 ids are not in item_text\.text or brief\.text: 'zz', 'i9'\."
    ):
        release.dataset("item_text", fallback="brief", ids=["zz", "i0", "i9", "zz"])


def test_a_fallback_of_another_space_or_entity_is_refused(store):
    pytest.importorskip("torch")
    text = add_texts(store, {"i5": "y"}, feature="brief", view="text")
    add_vectors(store, text, ["i5"], encoder=ENCODER.model_copy(update={"pooling": "mean"}))
    release = _release(store)
    with pytest.raises(EmbeddingSpaceError, match="pooling 'sum' and 'mean'"):
        release.dataset("item_text", fallback="brief")
    with pytest.raises(UsageError, match="vectors of items and users cannot stand in for each other"):
        release.dataset("item_text", fallback="user_cot")


def test_leaking_vectors_are_refused(store):
    pytest.importorskip("torch")
    with pytest.raises(LeakError, match=r"read events of .*; allowed are parts none"):
        _release(store).dataset("user_cot", allow_parts=())


def test_without_torch_the_extra_is_named(store, monkeypatch):
    monkeypatch.delitem(sys.modules, "featurestore.torch_dataset", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SetupError, match="needs the Python package 'torch'") as caught:
        _release(store).dataset("item_text")
    assert caught.value.hint == "Install it with: pip install 'cot-featurestore[train]'"

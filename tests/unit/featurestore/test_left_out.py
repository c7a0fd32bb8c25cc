"""Vectors by an adapter that learned from events stay behind when there is another split."""

import pytest
from store_samples import ENCODER, ITEM_IDS, add_graph, add_sources, add_texts, add_vectors

from cli.release_view import left_out_lines
from featurestore.adapters import Adapter, AdapterOrigin
from featurestore.errors import GateFailedError
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.releases.publish import publish
from featurestore.spec import VectorSpec, table_name
from featurestore.splits import SplitRecord
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy()


def add_adapter(store: MemoryStore, split: SplitRecord | None) -> str:
    """A stored adapter that learned from a split's training part; its digest."""
    origin = AdapterOrigin(
        job="recmind",
        base=ENCODER,
        settings={},
        seed=0,
        release=1,
        texts={"item": "a" * 32},
        event_set=split.event_set() if split else None,
        num_examples=4,
    )
    adapter = Adapter({"adapter_model.safetensors": str(split).encode()}, origin)
    adapter.save(store.objects)
    return adapter.digest


def add_aligned(store: MemoryStore, split: SplitRecord) -> VectorSpec:
    """``recmind.item`` of the texts ``item_text``, and a graph of it."""
    text = add_texts(store, {i: f"About {i}." for i in ITEM_IDS})
    plain = add_vectors(store, text, ITEM_IDS, event_set=split.event_set())
    encoder = ENCODER.model_copy(update={"adapter": add_adapter(store, split)})
    named = {"feature": "recmind", "view": "item", "encoder": encoder, "aligned_with": "b" * 32}
    aligned = plain.model_copy(update=named)
    store.upsert(table_name(aligned), store.read(table_name(plain)), key="id")
    FeatureRegistry(store).register(aligned)
    add_vectors(store, text, ITEM_IDS, seed=1, encoder=ENCODER.model_copy(update={"model": "of texts"}))
    add_graph(store, aligned, ITEM_IDS)
    return aligned


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    split = add_sources(store)
    aligned = add_aligned(store, split)
    first = publish(store, gates=POLICY)
    assert aligned in [pin.spec for pin in first.manifest.pins]
    assert first.left_out == ()
    add_sources(store, shift=1)
    return store


def test_aligned_vectors_of_an_earlier_split_stay_behind_with_their_graph(store):
    report = publish(store, gates=POLICY)
    assert report.left_out == report.left_out_tuned == ("recmind.item",)
    kinds = {pin.spec.kind for pin in report.manifest.pins if pin.spec.feature == "recmind"}
    assert kinds == set()
    assert "item_text.text" in {pin.name for pin in report.manifest.pins}


def test_what_was_asked_for_by_name_says_that_an_adapter_made_it(store):
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=POLICY, features=["recmind", "item_text"])
    assert caught.value.message.startswith("recmind.item is of a model or an adapter that learned from an")
    assert "vectors of an adapter: `featurestore tune` on the new model's vectors" in caught.value.hint


@pytest.mark.parametrize("learned", [True, False])
def test_embeddings_by_an_adapter_stay_behind_only_if_it_learned_from_events(store, learned):
    """Where it did not, their texts did: these can be made again, and a gate says so."""
    other = add_sources(store, shift=2)
    adapter = add_adapter(store, other if learned else None)
    text = add_texts(store, {i: f"About {i}." for i in ITEM_IDS}, feature="notes")
    encoder = ENCODER.model_copy(update={"adapter": adapter})
    add_vectors(store, text, ITEM_IDS, encoder=encoder, event_set=other.event_set())
    add_sources(store, shift=3)
    if learned:
        assert publish(store, gates=POLICY).left_out_tuned == ("recmind.item", "notes.text")
        return
    with pytest.raises(GateFailedError, match=r"event_set of vector notes\.text") as caught:
        publish(store, gates=POLICY)
    assert "Vectors by an adapter that learned from them: tune it again" in caught.value.hint


def test_models_and_adapters_are_told_apart_and_each_has_its_way_back():
    lines = left_out_lines(["lightgcn.item", "recmind.item"], 3, ["recmind.item"])
    assert lines[0] == "left out: lightgcn.item, of a model that learned from an earlier split"
    assert lines[2] == "left out: recmind.item, of an adapter that learned from an earlier split"
    assert "`featurestore train` with --release 3, `featurestore vectors` and `featurestore pub" in lines[3]
    assert "then `featurestore tune` on those vectors" in lines[3]
    assert left_out_lines([], 3) == []

"""An adapter copied out of a store: it is called as there, and what it learned from is not forgotten."""

from pathlib import Path

import polars as pl
import pytest
from refresh_world import SilentWatch
from store_samples import ITEM_IDS, add_sources, add_texts

from featurestore import columns as c
from featurestore.adapters import Adapter, AdapterOrigin
from featurestore.errors import LeakError, SetupError
from featurestore.features import FeatureRegistry
from featurestore.spec import EncoderSpec, table_name
from featurestore.splits import SplitRecord
from featurestore.stores.memory import MemoryStore
from llm_jobs.embed import embed, events_learned_by
from llm_jobs.encoders import encoder_spec, open_encoder
from llm_jobs.entries import EncoderEntry
from llm_jobs.model_folder import adapter_digest
from llm_jobs.models import find_encoder
from llm_jobs.refresh_stages import VectorStage

BASE = EncoderSpec(name="e", model="e", pooling="mean", normalized=True, embedding_dim=4, max_tokens=8)


def tuned(split: SplitRecord | None) -> Adapter:
    """An adapter with a projection, that learned from a split's training part."""
    origin = AdapterOrigin(
        job="recmind",
        base=BASE,
        settings={},
        seed=0,
        release=1,
        texts={"item": "a" * 32},
        event_set=split.event_set() if split else None,
        num_examples=4,
    )
    names = ("adapter_config.json", "adapter_model.safetensors", "projection.safetensors")
    return Adapter({name: name.encode() for name in names}, origin)


def copied(adapter: Adapter, folder: Path) -> EncoderEntry:
    """An entry with a copy of ``adapters/<digest>`` of the store that the adapter was saved in."""
    folder.mkdir()
    for name, content in adapter.files.items():
        (folder / name).write_bytes(content)
    (folder / "about.json").write_text(adapter.origin.model_dump_json())
    (folder / ".DS_Store").write_bytes(b"of a file manager")
    return EncoderEntry(alias="e", model="e", embedding_dim=4, max_tokens=8, adapter=str(folder))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_copy_has_the_digest_that_it_has_in_its_store(store, tmp_path):
    adapter = tuned(add_sources(store))
    entry = copied(adapter, tmp_path / "adapter")
    assert encoder_spec(entry).adapter == adapter.digest
    (tmp_path / "adapter" / "about.json").unlink()
    assert encoder_spec(entry).adapter != adapter.digest, "an adapter of elsewhere: two files say all"


def test_a_damaged_copy_is_refused(store, tmp_path):
    adapter = tuned(add_sources(store))
    folder = tmp_path / adapter.digest
    copied(adapter, folder)
    assert adapter_digest(folder) == adapter.digest
    (folder / "projection.safetensors").write_bytes(b"other")
    with pytest.raises(SetupError, match=r"is damaged: its files are others than its name says\.\n  Copy"):
        adapter_digest(folder)
    (folder / "about.json").write_text("[]")
    with pytest.raises(SetupError, match=r"is damaged: about\.json says nothing of an adapter"):
        adapter_digest(folder)


def test_events_that_an_adapter_learned_from_are_named_by_what_it_encodes(store, tmp_path):
    """Of any split that the store knows, or any adapter that it holds; another shop's are nobody's."""
    split = add_sources(store)
    entry = copied(tuned(split), tmp_path / "adapter")
    assert events_learned_by(store, entry) == split.event_set()
    add_sources(store, shift=1)
    assert events_learned_by(store, entry) == split.event_set()
    assert events_learned_by(store, copied(tuned(None), tmp_path / "of no events")) is None
    shop = MemoryStore()
    assert events_learned_by(shop, entry) is None
    tuned(split).save(shop.objects)
    assert events_learned_by(shop, entry) == split.event_set(), "records of earlier splits may be erased"


@pytest.mark.parametrize("by_night", [False, True])
def test_every_vector_names_them_beside_its_text_s(store, tmp_path, by_night):
    split = add_sources(store)
    entry = copied(tuned(split), tmp_path / "adapter")
    add_texts(store, dict.fromkeys(ITEM_IDS[:3], "a text"))
    add_texts(store, {ITEM_IDS[3]: "of events"}, event_set=split.event_set())
    hashing = open_encoder(find_encoder("hashing", {}))
    if by_night:
        VectorStage(store, "item_text", "text", entry, lambda _: hashing, SilentWatch()).run()
    else:
        events = events_learned_by(store, entry)
        embed(store, feature="item_text", view="text", encoder=hashing, learned_from=events)
    table = table_name(FeatureRegistry(store).head("vector", "item_text", "text").spec)
    rows = pl.DataFrame(store.read(table, columns=[c.ID, c.EVENT_SET]))
    assert (rows.height, rows[c.EVENT_SET].unique().to_list()) == (4, [split.event_set()])
    later = add_sources(store, shift=1)
    add_texts(store, {ITEM_IDS[3]: "of later events"}, event_set=later.event_set())
    with pytest.raises(LeakError, match="read events that no split holds together"):
        embed(store, feature="item_text", view="text", encoder=hashing, learned_from=split.event_set())

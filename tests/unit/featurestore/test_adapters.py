"""Adapters as artefacts of a store: named by their content, created once, refused when damaged."""

import json

import pytest

from featurestore.adapters import Adapter, AdapterOrigin, adapter_paths, load_adapter
from featurestore.errors import StoreError, UnknownNameError
from featurestore.spec import EncoderSpec
from featurestore.stores.memory import MemoryObjects

ORIGIN = AdapterOrigin(
    job="recmind",
    base=EncoderSpec(
        name="tiny", model="tests/tiny", pooling="mean", normalized=False, embedding_dim=4, max_tokens=8
    ),
    settings={"lora_rank": 2, "temperature": 0.2},
    seed=3,
    release=1,
    texts={"item": "a" * 32},
    vectors={"item": "b" * 32},
    event_set="0123456789abcdef:train",
    num_examples=7,
)
FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}


def test_an_adapter_comes_back_by_the_first_characters_of_its_digest():
    objects, adapter = MemoryObjects(), Adapter(FILES, ORIGIN)
    adapter.save(objects)
    adapter.save(objects)
    found = load_adapter(objects, adapter.digest[:12])
    assert (found.files, found.origin, found.digest) == (FILES, ORIGIN, adapter.digest)
    names = ["about.json", "adapter_config.json", "adapter_model.safetensors"]
    assert adapter_paths(objects, adapter.digest) == [f"adapters/{adapter.digest}/{name}" for name in names]
    assert adapter_paths(objects, "0" * 32) == []


def test_every_name_and_every_byte_is_in_the_digest():
    known = {
        Adapter(files, ORIGIN).digest
        for files in (
            FILES,
            FILES | {"projection.safetensors": b""},
            FILES | {"adapter_config.json": b"{} "},
            {"a": b"{}", "adapter_model.safetensors": b"weights"},
            {"adapter_config.json": b"{}adapter_model.safetensors", "x": b"weights"},
        )
    }
    assert len(known) == 5


def test_unknown_and_unfinished_adapters_are_not_found():
    objects, adapter = MemoryObjects(), Adapter(FILES, ORIGIN)
    adapter.save(objects)
    with pytest.raises(UnknownNameError) as error:
        load_adapter(objects, "ffff")
    assert f"unknown adapter 'ffff'. Known: {adapter.digest[:16]}." in str(error.value)
    objects.delete(f"adapters/{adapter.digest}/about.json")
    with pytest.raises(UnknownNameError, match="Known: none"):
        load_adapter(objects, adapter.digest)


def test_damage_is_named():
    objects, adapter = MemoryObjects(), Adapter(FILES, ORIGIN)
    objects.put_new(f"adapters/{adapter.digest}/adapter_config.json", b"other")
    with pytest.raises(
        StoreError, match=r"is damaged: its adapter_config.json is another than its name says"
    ):
        adapter.save(objects)
    objects.put_new(f"adapters/{adapter.digest}/adapter_model.safetensors", b"weights")
    about = json.dumps(ORIGIN.model_dump(mode="json")).encode()
    objects.put_new(f"adapters/{adapter.digest}/about.json", about)
    with pytest.raises(StoreError, match="its files are others than its name says"):
        load_adapter(objects, adapter.digest)

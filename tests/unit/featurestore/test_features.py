import pytest

from featurestore.errors import MissingVersionError, UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.spec import EncoderSpec, ImportedTextSpec, VectorSpec, table_name
from featurestore.stores.memory import MemoryStore


def text_spec(content: str, feature: str = "profile") -> ImportedTextSpec:
    return ImportedTextSpec(
        feature=feature, view="text", entity="item", producer="a model", content_digest=content
    )


def vector_spec(text: ImportedTextSpec) -> VectorSpec:
    encoder = EncoderSpec(
        name="hashing", model="hashing", pooling="sum", normalized=True, embedding_dim=8, max_tokens=64
    )
    return VectorSpec(
        feature=text.feature, view="text", entity="item", text_digest=text.digest, encoder=encoder
    )


def test_the_newest_registration_is_the_head():
    registry = FeatureRegistry(MemoryStore())
    registry.register(text_spec("a"))
    registry.register(text_spec("b"))
    assert registry.head("text", "profile", "text").spec == text_spec("b")


def test_registering_the_head_again_writes_nothing():
    store = MemoryStore()
    registry = FeatureRegistry(store)
    first = registry.register(text_spec("a"))
    assert registry.register(text_spec("a")) == first
    assert len(store.objects.list("features/")) == 1


def test_an_earlier_spec_becomes_head_again_under_a_new_number():
    registry = FeatureRegistry(MemoryStore())
    for content in ["a", "b", "a"]:
        registry.register(text_spec(content))
    head = registry.head("text", "profile", "text")
    assert (head.number, head.spec) == (3, text_spec("a"))


def test_the_history_of_a_view_names_every_registration_newest_first():
    registry = FeatureRegistry(MemoryStore())
    assert registry.history("text", "profile", "text") == []
    for content in ["a", "b", "a"]:
        registry.register(text_spec(content))
    registry.register(text_spec("c", feature="other"))
    history = registry.history("text", "profile", "text")
    assert [(each.number, each.spec) for each in history] == [
        (3, text_spec("a")),
        (2, text_spec("b")),
        (1, text_spec("a")),
    ]


def test_heads_are_listed_by_kind():
    registry = FeatureRegistry(MemoryStore())
    registry.register(text_spec("a"))
    registry.register(vector_spec(text_spec("a")))
    assert [v.spec.kind for v in registry.heads()] == ["text", "vector"]
    assert [v.spec.kind for v in registry.heads("vector")] == ["vector"]


def test_a_feature_whose_name_begins_like_another_is_not_mixed_up():
    registry = FeatureRegistry(MemoryStore())
    registry.register(text_spec("a", feature="profile_long"))
    with pytest.raises(UnknownNameError, match=r"unknown text feature 'profile.text'.*profile_long.text"):
        registry.head("text", "profile", "text")


def test_a_spec_is_found_by_its_digest_even_when_it_is_no_head():
    registry = FeatureRegistry(MemoryStore())
    registry.register(text_spec("a"))
    registry.register(text_spec("b"))
    assert registry.find("text", text_spec("a").digest).spec == text_spec("a")
    with pytest.raises(MissingVersionError, match="holds no text version 'ffff'"):
        registry.find("text", "ffff")


def test_tables_are_named_after_kind_feature_view_and_digest():
    spec = text_spec("a")
    assert table_name(spec) == f"text.profile.text.{spec.digest[:16]}"

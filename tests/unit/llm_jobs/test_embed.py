"""Embedding reads the texts' head, encodes what changed, and leaves one vector per text."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pytest

from featurestore import columns as c
from featurestore.errors import InputError, UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.schema import TEXTS
from featurestore.spec import EncoderSpec, ImportedTextSpec, table_name
from featurestore.stores.memory import MemoryStore
from llm_jobs.embed import embed, text_views
from llm_jobs.encoders import open_encoder
from llm_jobs.models import find_encoder


class _Counting:
    """The hashing encoder, keeping what it was asked."""

    def __init__(self) -> None:
        self._inner = open_encoder(find_encoder("hashing", {}))
        self.seen: list[str] = []

    @property
    def spec(self) -> EncoderSpec:
        return self._inner.spec

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.seen += texts
        return self._inner.encode(texts)

    def close(self) -> None:
        self._inner.close()


def _write(
    store: MemoryStore, texts: dict[str, str | None], *, producer: str = "them", event: str | None = None
):
    spec = ImportedTextSpec(
        feature="notes", view="text", entity="item", producer=producer, content_digest="0" * 32
    )
    rows = [
        {
            c.ID: key,
            c.STATUS: c.STATUS_OK if text else c.STATUS_FAILED,
            c.TEXT: text,
            c.FINGERPRINT: key,
            c.ATTEMPTS: 1,
            c.EVENT_SET: event,
            c.RUN_ID: "r",
        }
        for key, text in texts.items()
    ]
    store.replace(table_name(spec), pa.Table.from_pylist(rows, schema=TEXTS))
    FeatureRegistry(store).register(spec)
    return spec


def _vectors(store: MemoryStore) -> pl.DataFrame:
    head = FeatureRegistry(store).head("vector", "notes", "text")
    return pl.DataFrame(store.read(head.table)).sort(c.ID)


def test_every_text_gets_its_vector_and_equal_texts_are_encoded_once() -> None:
    store, encoder = MemoryStore(), _Counting()
    _write(store, {"a": "rose cream", "b": "toy drum", "c": "rose cream", "d": None})
    report = embed(store, feature="notes", view="text", encoder=encoder)
    assert sorted(encoder.seen) == ["rose cream", "toy drum"]
    assert (report.num_texts, report.num_encoded, report.num_reused, report.num_failed_texts) == (3, 2, 1, 1)
    rows = _vectors(store)
    assert rows[c.ID].to_list() == ["a", "b", "c"]
    expected = encoder.encode(["rose cream", "toy drum", "rose cream"])
    np.testing.assert_array_equal(np.stack(rows[c.VECTOR].to_list()), expected)


def test_a_second_run_does_nothing() -> None:
    store, encoder = MemoryStore(), _Counting()
    _write(store, {"a": "rose cream", "b": "toy drum"})
    embed(store, feature="notes", view="text", encoder=encoder)
    head = FeatureRegistry(store).head("vector", "notes", "text")
    version = store.latest(head.table)
    report = embed(store, feature="notes", view="text", encoder=encoder)
    assert (report.num_current, report.num_encoded) == (2, 0)
    assert store.latest(head.table) == version


def test_changed_and_vanished_texts_are_followed() -> None:
    store, encoder = MemoryStore(), _Counting()
    _write(store, {"a": "rose cream", "b": "toy drum", "gone": "old"})
    embed(store, feature="notes", view="text", encoder=encoder)
    encoder.seen.clear()
    _write(store, {"a": "rose cream", "b": "toy trumpet"})
    report = embed(store, feature="notes", view="text", encoder=encoder)
    assert encoder.seen == ["toy trumpet"]
    assert (report.num_current, report.num_encoded, report.num_deleted) == (1, 1, 1)
    assert _vectors(store)[c.ID].to_list() == ["a", "b"]


def test_a_new_text_version_takes_over_vectors_of_equal_texts() -> None:
    store, encoder = MemoryStore(), _Counting()
    _write(store, {"a": "rose cream", "b": "toy drum"})
    embed(store, feature="notes", view="text", encoder=encoder)
    encoder.seen.clear()
    _write(store, {"a": "rose cream", "b": "toy trumpet"}, producer="them, again")
    report = embed(store, feature="notes", view="text", encoder=encoder)
    assert encoder.seen == ["toy trumpet"]
    assert (report.num_encoded, report.num_reused) == (1, 1)


def test_a_new_event_set_is_written_without_encoding_again() -> None:
    store, encoder = MemoryStore(), _Counting()
    _write(store, {"a": "rose cream"}, event="0123:train")
    embed(store, feature="notes", view="text", encoder=encoder)
    _write(store, {"a": "rose cream"}, event="4567:train")
    report = embed(store, feature="notes", view="text", encoder=encoder)
    assert (report.num_encoded, report.num_reused) == (0, 1)
    assert _vectors(store)[c.EVENT_SET].to_list() == ["4567:train"]


def test_small_batches_write_the_same_rows() -> None:
    texts = {f"i{n}": f"text {n % 7}" for n in range(25)}
    whole, pieces = MemoryStore(), MemoryStore()
    for store, size in ((whole, 4_000), (pieces, 3)):
        _write(store, texts)
        embed(store, feature="notes", view="text", encoder=_Counting(), batch_size=size)
    assert _vectors(whole).drop(c.RUN_ID).equals(_vectors(pieces).drop(c.RUN_ID))


def test_a_view_without_text_and_an_unknown_view_say_so() -> None:
    store = MemoryStore()
    _write(store, {"a": None})
    with pytest.raises(InputError, match=r"notes\.text holds no text to encode"):
        embed(store, feature="notes", view="text", encoder=_Counting())
    with pytest.raises(UnknownNameError, match=r"unknown text feature 'notes.fused'.*Known: notes.text"):
        embed(store, feature="notes", view="fused", encoder=_Counting())
    assert text_views(store, "notes") == ["text"]
    assert text_views(store, "other") == []

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from store_samples import ITEM_IDS, add_sources, add_texts, add_vectors, fill_store, vector_rows

from featurestore import schema
from featurestore.spec import SourceSpec, table_name
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore
from featurestore.table_facts import measure, rows_checksum


def facts_of(store, spec):
    latest = store.latest(table_name(spec))
    assert latest is not None
    return measure(store, spec, latest.version)


def test_texts_are_counted():
    store = MemoryStore()
    spec = add_texts(store, {"a": "same", "b": "same", "c": "other", "d": None}, event_set="s:train")
    facts = facts_of(store, spec)
    assert (facts.num_rows, facts.num_failed, facts.num_repeated_ids) == (4, 1, 0)
    assert facts.duplicate_text_share == pytest.approx(1 / 3)
    assert facts.event_sets == ("s:train",)


def test_a_failed_row_binds_no_release_to_its_event_set():
    store = MemoryStore()
    add_texts(store, {"a": None}, event_set="old:train")
    spec = add_texts(store, {"b": "good"}, event_set="new:train")
    assert facts_of(store, spec).event_sets == ("new:train",)


def test_unsound_vectors_are_counted():
    store = MemoryStore()
    spec = add_vectors(store, add_texts(store, {"a": "x"}), ["a", "b", "c", "d"])
    bad = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1e-30, 0]], np.float32)
    store.upsert(table_name(spec), vector_rows(["a", "b", "c", "d"], bad), key="id")
    assert (facts_of(store, spec).num_zero, facts_of(store, spec).num_not_finite) == (2, 0)


def test_repeated_ids_are_counted():
    store = MemoryStore()
    spec = add_vectors(store, add_texts(store, {"a": "x"}), ["a"])
    store.replace(table_name(spec), vector_rows(["a", "b", "a"], np.ones((3, 4), np.float32)))
    assert facts_of(store, spec).num_repeated_ids == 1


def test_empty_tables_are_measured():
    store = MemoryStore()
    text = add_texts(store, {})
    assert facts_of(store, text).num_rows == 0
    assert facts_of(store, add_vectors(store, text, [])).num_rows == 0


def test_checksums_are_of_the_rows_not_of_their_history(tmp_path):
    lance, memory = connect(str(tmp_path)), MemoryStore()
    for store in (lance, memory):
        fill_store(store)
    add_texts(memory, {"i2": "first thoughts"})
    add_texts(memory, {"i2": "A good text about i2."})
    spec = add_texts(MemoryStore(), {"i0": "x"})
    assert facts_of(lance, spec).checksum == facts_of(memory, spec).checksum
    for feature in ("items", "users", "interactions", "item_ids"):
        source = SourceSpec(feature=feature, view="rows")
        assert facts_of(lance, source).checksum == facts_of(memory, source).checksum
        assert facts_of(lance, source) == facts_of(lance, source)


def test_any_change_changes_the_checksum():
    rows = pa.table([["a", "b"], ["x", None]], schema=pa.schema([("id", pa.string()), ("note", pa.string())]))
    base = rows_checksum(rows, ["id"])
    assert len(base) == 32
    assert rows_checksum(rows.take([1, 0]), ["id"]) == base
    assert rows_checksum(rows.take([1, 0]), []) != base
    assert rows_checksum(rows.slice(0, 1), ["id"]) != base
    for note in (["x", ""], ["y", None], [None, "x"]):
        assert rows_checksum(rows.set_column(1, "note", pa.array(note, pa.string())), ["id"]) != base
    assert rows_checksum(rows.rename_columns(["id", "remark"]), ["id"]) != base


def test_events_carry_their_order_in_a_column():
    store = MemoryStore()
    add_sources(store)
    spec = SourceSpec(feature="interactions", view="rows")
    before = facts_of(store, spec)
    events = pl.DataFrame(store.read("source.interactions"))
    store.replace("source.interactions", events.reverse().to_arrow().cast(schema.INTERACTIONS))
    assert facts_of(store, spec).checksum == before.checksum
    swapped = events.with_columns(pl.col("position").reverse())
    store.replace("source.interactions", swapped.to_arrow().cast(schema.INTERACTIONS))
    assert facts_of(store, spec).checksum != before.checksum
    assert (before.num_rows, len(ITEM_IDS)) == (20, 6)

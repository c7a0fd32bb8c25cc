"""What every store promises of rows, checked on the fake, on LanceDB in a folder, and on LanceDB over S3."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from note_tables import NOTES, content, notes

from featurestore import schema
from featurestore.errors import (
    InputError,
    MissingIdsError,
    MissingVersionError,
    StoreError,
)
from featurestore.store import Store


def test_an_empty_store_holds_nothing(store: Store):
    assert store.tables() == []
    assert store.latest("text.a") is None
    assert store.objects.list("features/") == []
    with pytest.raises(MissingVersionError, match=r"no table 'text\.a'"):
        store.read("text.a")
    with pytest.raises(MissingVersionError, match=r"no table 'text\.a'"):
        store.delete("text.a", ["x"], key="id")


def test_a_version_never_changes(store: Store):
    first = store.upsert("t", notes(a="1", b="2"), key="id")
    second = store.upsert("t", notes(b="new", c="3"), key="id")
    third = store.delete("t", ["a", "absent"], key="id")
    fourth = store.replace("t", notes(z="9"))
    assert [v.num_rows for v in (first, second, third, fourth)] == [2, 3, 2, 1]
    assert first.version < second.version < third.version < fourth.version
    assert content(store.read("t", version=first.version)) == {"a": "1", "b": "2"}
    assert content(store.read("t", version=second.version)) == {"a": "1", "b": "new", "c": "3"}
    assert content(store.read("t", version=third.version)) == {"b": "new", "c": "3"}
    assert content(store.read("t")) == {"z": "9"}
    assert store.latest("t") == fourth
    assert store.tables() == ["t"]


def test_a_missing_version_is_an_error(store: Store):
    store.replace("t", notes(a="1"))
    with pytest.raises(MissingVersionError, match="77"):
        store.read("t", version=77)


def test_rows_come_in_request_order_with_repeats(store: Store):
    store.upsert("t", notes(**{f"i{n}": str(n) for n in range(50)}), key="id")
    rows = store.read("t", ids=["i7", "i3", "i49", "i7"])
    assert rows["id"].to_pylist() == ["i7", "i3", "i49", "i7"]
    assert rows["note"].to_pylist() == ["7", "3", "49", "7"]
    assert store.read("t", ids=["i3", "i1"], columns=["note"]).to_pydict() == {"note": ["3", "1"]}
    assert store.read("t", ids=[]).num_rows == 0


def test_all_missing_ids_are_named(store: Store):
    store.upsert("t", notes(a="1", b="2"), key="id")
    with pytest.raises(MissingIdsError) as caught:
        store.read("t", ids=["x", "a", "y'); --", "x"])
    assert caught.value.ids == ("x", "y'); --")
    assert str(caught.value) == "2 ids are not in t: 'x', \"y'); --\"."


def test_ids_in_rows_out_even_for_equal_and_odd_content(store: Store):
    odd = ["it's", 'quote"', "ünï", " space ", "emoji 🎁", "a;b", "%", "\\", "new\nline", "NULL", ""]
    rows = pa.table([odd, ["same text"] * len(odd)], schema=NOTES)
    assert store.upsert("t", rows, key="id").num_rows == len(odd)
    assert store.read("t", ids=odd)["id"].to_pylist() == odd
    assert store.delete("t", odd[:4], key="id").num_rows == len(odd) - 4
    assert sorted(store.read("t")["id"].to_pylist()) == sorted(odd[4:])


def test_replaced_rows_keep_their_order(store: Store):
    numbers = np.random.default_rng(0).permutation(20_000)
    rows = pa.table({"position": numbers, "name": numbers.astype(str)})
    store.replace("source.interactions", rows)
    assert store.read("source.interactions").equals(rows.combine_chunks())
    assert store.read("source.interactions", columns=["name"])["name"].to_pylist() == list(
        numbers.astype(str)
    )


def test_replace_may_change_the_columns(store: Store):
    old = store.replace("source.items", notes(a="1"))
    store.replace("source.items", pa.table({"id": ["a"], "brand": ["Hart"]}))
    assert store.read("source.items").column_names == ["id", "brand"]
    assert store.read("source.items", version=old.version).column_names == ["id", "note"]


def test_schemas_come_back_as_they_were_given(store: Store):
    rows = schema.TEXTS.empty_table()
    assert store.upsert("text.empty", rows, key="id").num_rows == 0
    assert store.read("text.empty").schema.equals(schema.TEXTS, check_metadata=True)
    vectors = pa.table(
        [["a"], [[1.0, 2.0]], ["d"], [None], ["run"]],
        schema=schema.vectors(2),
    )
    store.upsert("vector.v", vectors, key="id")
    assert store.read("vector.v").schema.equals(schema.vectors(2), check_metadata=True)
    assert store.read("vector.v", columns=["vector"])["vector"].to_pylist() == [[1.0, 2.0]]


def test_upsert_refuses_repeated_keys(store: Store):
    rows = pa.table([["a", "b", "a"], ["1", "2", "3"]], schema=NOTES)
    with pytest.raises(StoreError, match="hold 1 repeated keys in 'id'"):
        store.upsert("t", rows, key="id")
    assert store.latest("t") is None


def test_upsert_refuses_other_columns(store: Store):
    store.upsert("t", notes(a="1"), key="id")
    with pytest.raises(StoreError, match="but the table has"):
        store.upsert("t", pa.table({"id": ["b"]}), key="id")
    assert content(store.read("t")) == {"a": "1"}


def test_columns_are_added_empty_and_filled_in_any_order(store: Store):
    store.upsert("t", notes(**{f"i{n}": str(n) for n in range(30)}), key="id")
    old = store.delete("t", ["i3"], key="id")
    flags = pa.field("flags", pa.list_(pa.string()))
    added = store.add_columns("t", pa.schema([pa.field("note", pa.string()), flags]))
    assert added.num_rows == 29
    assert added.version > old.version
    assert store.read("t").schema.names == ["id", "note", "flags"]
    assert store.read("t", columns=["flags"])["flags"].null_count == 29
    assert store.read("t", version=old.version).schema.equals(NOTES)
    rows = pa.table([[["x"], None], ["i1", "new"], ["one", None]], schema=pa.schema([flags, *NOTES]))
    store.upsert("t", rows, key="id")
    assert store.read("t", ids=["i1", "i2", "new"]).to_pylist() == [
        {"id": "i1", "note": "one", "flags": ["x"]},
        {"id": "i2", "note": "2", "flags": None},
        {"id": "new", "note": None, "flags": None},
    ]
    store.compact("t", keep_versions=[old.version], grace=timedelta(0))
    assert store.read("t", ids=["i1", "i2"], columns=["flags"])["flags"].to_pylist() == [["x"], None]
    assert content(store.read("t", version=old.version))["i1"] == "1"
    with pytest.raises(MissingVersionError, match=r"no table 'none'"):
        store.add_columns("none", NOTES)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_vectors_that_are_not_finite_are_refused(store: Store, bad: float):
    columns = [["a", "b"], [[1.0, bad], [1.0, 1.0]], ["d", "d"], [None, None], ["r", "r"]]
    rows = pa.table(columns, schema=schema.vectors(2))
    with pytest.raises(StoreError, match="hold 1 vectors with NaN or infinity in 'vector'"):
        store.upsert("vector.v", rows, key="id")
    with pytest.raises(StoreError, match="hold 1 vectors with NaN or infinity in 'vector'"):
        store.replace("vector.v", rows)
    assert store.latest("vector.v") is None


def test_keys_are_strings_that_are_always_there(store: Store):
    with pytest.raises(
        StoreError, match="the key 'id' of 't' must be a non-null string column, got nullable string"
    ):
        store.upsert("t", pa.table({"id": ["a"]}), key="id")
    numbers = pa.table([[1]], schema=pa.schema([pa.field("id", pa.int64(), nullable=False)]))
    with pytest.raises(StoreError, match="must be a non-null string column, got int64"):
        store.upsert("t", numbers, key="id")
    with pytest.raises(StoreError, match="rows for 't' have no key column 'item_id'"):
        store.upsert("t", notes(a="1"), key="item_id")
    assert store.latest("t") is None


@pytest.mark.parametrize("name", ["Sub Category", "Größe", "price ($)", "Title", "select", "a-b", "it's"])
def test_columns_may_have_odd_names(store: Store, name: str):
    rows = pa.table(
        [["1", "2"], ["x", "y"]], schema=pa.schema([pa.field(name, pa.string(), False), ("v", pa.string())])
    )
    store.upsert("t", rows, key=name)
    store.upsert("t", rows.slice(1), key=name)
    assert store.read("t", ids=["2", "1"], key=name).equals(rows.take([1, 0]))
    assert store.read("t", ids=["2"], key=name, columns=[name]).to_pydict() == {name: ["2"]}
    assert store.delete("t", ["1"], key=name).num_rows == 1


@pytest.mark.parametrize("name", ["a.b", "x`y", 'q"r', "_rowid", ""])
def test_columns_that_no_query_could_name_are_refused(store: Store, name: str):
    with pytest.raises(InputError, match=r"cannot be stored in 'source\.items': ") as caught:
        store.replace("source.items", pa.table({"item_id": ["1"], name: ["x"]}))
    assert repr(name) in caught.value.message
    assert store.tables() == []


def test_an_empty_upsert_changes_no_row(store: Store):
    store.upsert("t", notes(a="1"), key="id")
    assert store.upsert("t", NOTES.empty_table(), key="id").num_rows == 1
    assert store.delete("t", [], key="id").num_rows == 1
    assert content(store.read("t")) == {"a": "1"}


def test_upsert_after_replace_goes_on(store: Store):
    store.upsert("t", notes(a="1"), key="id")
    store.replace("t", notes(b="2", c="3"))
    assert store.upsert("t", notes(b="new"), key="id").num_rows == 2
    assert content(store.read("t")) == {"b": "new", "c": "3"}

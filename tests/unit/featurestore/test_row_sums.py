"""Checksums that add up, against an oracle that spells out what is hashed."""

import random
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import StoreError
from featurestore.row_sums import add_sums, sum_rows, sum_text

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("note", pa.string()),
        pa.field("number", pa.int64()),
        pa.field("share", pa.float32()),
        pa.field("good", pa.bool_()),
        pa.field("flags", pa.list_(pa.string())),
        pa.field("vector", pa.list_(pa.float32(), 2)),
    ]
)
floats = st.floats(width=32, allow_nan=False)
row = st.fixed_dictionaries(
    {
        "id": st.text(max_size=3),
        "note": st.none() | st.text(max_size=300),
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "share": st.none() | floats,
        "good": st.none() | st.booleans(),
        "flags": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3),
        "vector": st.none() | st.tuples(floats, floats).map(list),
    }
)
rows = st.lists(row, max_size=12)


def table(found: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(found, schema=SCHEMA)


def oracle(found: list[dict]) -> int:
    return (
        sum(int.from_bytes(blake2b(spell(each), digest_size=16).digest(), "little") for each in found)
        % 2**128
    )


def spell(cells: dict) -> bytes:
    parts = []
    for name, value in sorted(cells.items()):
        if value is not None:
            data = spell_cell(name, value)
            parts += [len(name).to_bytes(2, "little"), name.encode(), len(data).to_bytes(4, "little"), data]
    return b"".join(parts)


def spell_cell(name: str, value) -> bytes:
    match name:
        case "number":
            return value.to_bytes(8, "little", signed=True)
        case "share":
            return np.float32(value).tobytes()
        case "good":
            return bytes([value])
        case "vector":
            return np.array(value, np.float32).tobytes()
        case "flags":
            full = [None if each is None else each.encode() for each in value]
            return b"".join(b"\0" if e is None else b"\1" + len(e).to_bytes(4, "little") + e for e in full)
        case _:
            return value.encode()


@given(rows)
def test_a_sum_is_what_its_words_say(found):
    assert sum_rows(table(found)) == oracle(found)


@given(rows, st.randoms(use_true_random=False), st.integers(0, 12))
def test_order_and_parts_do_not_matter(found, rng: random.Random, cut: int):
    whole = table(found)
    mixed = table(rng.sample(found, len(found)))
    assert sum_rows(whole) == sum_rows(mixed)
    parts = [whole.slice(0, cut), whole.slice(cut)]
    assert add_sums(*map(sum_rows, parts)) == sum_rows(whole)
    assert add_sums(sum_rows(whole), -sum_rows(parts[1])) == sum_rows(parts[0])
    assert sum_rows(pa.concat_tables(parts)) == sum_rows(whole), "chunks do not matter"


@settings(max_examples=50)
@given(rows.filter(len), st.data())
def test_any_other_cell_makes_another_sum(found, data):
    place = data.draw(st.integers(0, len(found) - 1))
    other = data.draw(row.filter(lambda drawn: spell(drawn) != spell(found[place])))
    assert sum_rows(table([*found[:place], other, *found[place + 1 :]])) != sum_rows(table(found))
    assert sum_rows(table([*found, found[0]])) != sum_rows(table(found)), "a row twice is not a row once"


def test_a_column_without_values_changes_no_sum():
    found = [{"id": "a", "note": "x"}, {"id": "b", "note": None}]
    few = pa.Table.from_pylist(found, schema=pa.schema([SCHEMA.field("id"), SCHEMA.field("note")]))
    assert sum_rows(few) == sum_rows(table(found))
    assert sum_rows(few.append_column("empty", pa.nulls(2))) == sum_rows(few)
    assert sum_rows(few.rename_columns(["id", "remark"])) != sum_rows(few)


def test_many_rows_are_summed_in_batches():
    ids = [str(number) for number in range(40_000)]
    whole = pa.table({"id": ids})
    assert sum_rows(whole) == add_sums(*(sum_rows(whole.slice(at, 7_000)) for at in range(0, 40_000, 7_000)))
    assert sum_text(sum_rows(whole.slice(0, 0))) == "0" * 32


def test_sums_stay_what_they_were():
    """Manifests hold sums, so this one must never change."""
    found = {"id": "i1", "note": "Ein schöner Kessel", "number": 7, "flags": ["cut:title:9>8", None]}
    assert sum_text(sum_rows(table([found | {"vector": [0.5, -1.0]}]))) == "c4e37552c758ed8c2804448a7a836726"


def test_a_column_without_bytes_is_an_error():
    union = pa.UnionArray.from_dense(
        pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1]), pa.array(["x"])]
    )
    with pytest.raises(StoreError, match=r"a column of type dense_union.* has no checksum"):
        sum_rows(pa.table({"id": ["a"], "odd": union}))

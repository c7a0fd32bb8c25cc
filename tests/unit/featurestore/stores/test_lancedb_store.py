"""What only a real LanceDB store on a disk can show: its files, damage, and what it costs."""

import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
from lance_processes import ROOT, notes, read_afresh

from featurestore import s3_objects, schema
from featurestore.errors import MissingVersionError, StoreError
from featurestore.objects import LocalObjects
from featurestore.stores import connect
from featurestore.stores.lancedb_store import LanceStore


def test_nothing_is_made_before_the_first_write(tmp_path):
    store = connect(str(tmp_path / "store"))
    assert store.tables() == []
    assert store.latest("t") is None
    assert not (tmp_path / "store").exists()


def test_tables_are_a_plain_lancedb_database_with_primary_keys(tmp_path):
    import lancedb

    store = connect(str(tmp_path))
    store.upsert("text.item_cot.fused.0123", notes(["a"]), key="id")
    table = lancedb.connect(tmp_path / "tables").open_table("text.item_cot.fused.0123")
    assert table.to_arrow().num_rows == 1
    assert table.schema.field("id").metadata == {b"lance-schema:unenforced-primary-key": b"true"}
    assert [index.name for index in table.list_indices()] == []
    store.replace("text.item_cot.fused.0123", notes(["b"]))
    table.checkout_latest()
    assert table.schema.field("id").metadata == {b"lance-schema:unenforced-primary-key": b"true"}


def test_a_table_has_one_key(tmp_path):
    store = connect(str(tmp_path))
    both = pa.schema(
        [pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string(), nullable=False)]
    )
    store.upsert("t", notes(["a"]).cast(both), key="id")
    with pytest.raises(StoreError, match="table 't' has the key 'id'; rows came with the key 'note'"):
        store.upsert("t", notes(["a"]).cast(both), key="note")
    with pytest.raises(StoreError, match="table 't' has no column 'colour'; it has id, note"):
        store.read("t", columns=["colour"])
    with pytest.raises(StoreError, match="table 't' has no column 'colour'; it has id, note"):
        store.delete("t", ["a"], key="colour")


@pytest.mark.parametrize("damage", ["garbage", "absent"])
def test_a_damaged_table_says_what_to_do(tmp_path, damage):
    store = connect(str(tmp_path))
    store.upsert("t", notes([f"i{n}" for n in range(100)]), key="id")
    store.upsert("sound", notes(["a"]), key="id")
    (data,) = (tmp_path / "tables" / "t.lance" / "data").iterdir()
    if damage == "garbage":
        data.write_bytes(b"garbage")
    else:
        data.unlink()
    with pytest.raises(StoreError) as caught:
        connect(str(tmp_path)).read("t")
    assert f"table 't' of {tmp_path} cannot be read or written. LanceDB says:" in caught.value.message
    assert "Restore tables/t.lance from a copy" in caught.value.hint
    assert store.read("sound").num_rows == 1


def test_a_damaged_manifest_is_a_store_error(tmp_path):
    connect(str(tmp_path)).upsert("t", notes(["a"]), key="id")
    (manifest,) = (tmp_path / "tables" / "t.lance" / "_versions").glob("*.manifest")
    manifest.write_bytes(b"garbage")
    done = read_afresh(str(tmp_path), "t")
    assert "StoreError: table 't' of" in done.stderr
    assert "Restore tables/t.lance from a copy" in done.stderr


def test_an_open_reader_stays_on_its_version(tmp_path):
    store = connect(str(tmp_path))
    pinned = store.upsert("t", notes(["a"]), key="id")
    other = connect(str(tmp_path))
    other.upsert("t", notes(["a", "b"], "changed"), key="id")
    assert store.read("t", version=pinned.version)["note"].to_pylist() == ["x"]
    assert store.read("t").num_rows == 2


def test_ten_thousand_vectors_upsert_and_read_without_a_python_loop(tmp_path, rng):
    matrix = rng.standard_normal((10_000, 64)).astype(np.float32)
    ids = [f"item-{row}" for row in range(10_000)]
    rows = pa.table(
        [
            ids,
            pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), 64),
            ["d"] * 10_000,
            pa.nulls(10_000, pa.string()),
            ["r"] * 10_000,
        ],
        schema=schema.vectors(64),
    )
    store = connect(str(tmp_path))
    store.upsert("vector.v", rows, key="id")
    started = time.perf_counter()
    store.upsert("vector.v", rows, key="id")
    assert time.perf_counter() - started < 5.0, "an upsert of 10,000 rows takes some tenths of a second"
    back = store.read("vector.v", ids=ids)
    read = back["vector"].combine_chunks().flatten().to_numpy().reshape(-1, 64)
    np.testing.assert_array_equal(read, matrix)


def test_connecting_loads_no_lancedb():
    script = (
        "import sys; from featurestore.stores import connect; connect('memory://a'); s = connect('nowhere');"
        "print(s.tables(), s.latest('t'), 'lancedb' in sys.modules, 'lance' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] None False False\n"


def test_an_unreachable_s3_service_says_what_to_check(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(s3_objects, "_ATTEMPTS", 2)
    store = LanceStore("s3://bucket/prefix/")
    assert store.uri == "s3://bucket/prefix"
    with pytest.raises(StoreError, match=r"does not answer for .*bucket 'bucket', asked 2 times") as caught:
        store.objects.read("a.json")
    assert "AWS_ENDPOINT_URL" in caught.value.hint


def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / "releases").write_text("a file where a folder belongs")
    with pytest.raises(StoreError, match="cannot be accessed") as caught:
        LocalObjects(tmp_path).put_new("releases/000001.json", b"{}")
    assert str(tmp_path / "releases") in caught.value.message


def test_a_store_whose_folder_is_a_file_says_so_on_the_first_write(tmp_path):
    (tmp_path / "store").write_text("a file where a folder belongs")
    with pytest.raises(StoreError, match=r"store\S* cannot be accessed: .*Not a directory"):
        connect(str(tmp_path / "store")).upsert("t", notes(["a"]), key="id")


def test_absent_tables_are_named(tmp_path):
    with pytest.raises(MissingVersionError, match=r"the store holds no table 'text\.none'"):
        connect(str(tmp_path)).read("text.none")

"""What only a real LanceDB store on a disk can show: dying writers, rival writers, full and damaged disks."""

import random
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from featurestore import s3_objects, schema
from featurestore.errors import MissingVersionError, StoreError
from featurestore.objects import LocalObjects
from featurestore.stores import connect
from featurestore.stores.lancedb_store import LanceStore

ROOT = Path(__file__).parents[4]
NOTES = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string())])


def notes(ids: list[str], note: str = "x") -> pa.Table:
    return pa.table([ids, [note] * len(ids)], schema=NOTES)


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def read_afresh(uri: str, table: str) -> subprocess.CompletedProcess[str]:
    """Read a table in a process that has nothing cached."""
    script = (
        "import sys; from featurestore.stores import connect; print(connect(sys.argv[1]).read(sys.argv[2]))"
    )
    return subprocess.run(
        [sys.executable, "-c", script, uri, table], cwd=ROOT, capture_output=True, text=True, check=False
    )


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


WRITER = """
    import sys
    import lancedb
    import pyarrow as pa
    from featurestore.stores import connect
    store = connect(sys.argv[1])
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string())])
    print("ready", flush=True)
    for batch in range(10_000):
        ids = [f"{batch}-{row}" for row in range(2_000)]
        store.upsert("t", pa.table([ids, ["x" * 200] * 2_000], schema=schema), key="id")
        print(batch, flush=True)
"""


def test_a_killed_writer_leaves_whole_batches_only(tmp_path):
    chance = random.Random(7)
    for attempt in range(4):
        uri = str(tmp_path / str(attempt))
        writer = start(WRITER, uri)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.0, 0.4))
        writer.kill()
        acknowledged = len(writer.stdout.read().split())
        writer.wait()
        writer.stdout.close()
        store = connect(uri)
        latest = store.latest("t")
        stored = latest.num_rows if latest else 0
        assert stored % 2_000 == 0
        assert stored // 2_000 in {acknowledged, acknowledged + 1}
        after = store.upsert("t", notes(["new"]), key="id")
        assert after.num_rows == stored + 1
        assert store.read("t", columns=["id"])["id"].to_pylist().count("new") == 1


def test_a_table_whose_first_commit_never_ended_is_invisible(tmp_path):
    store = connect(str(tmp_path))
    store.upsert("whole", notes(["a"]), key="id")
    half = tmp_path / "tables" / "half.lance" / "data"
    half.mkdir(parents=True)
    (half / "fragment.lance").write_bytes(b"half a fragm")
    assert store.tables() == ["whole"]
    assert store.latest("half") is None
    assert store.upsert("half", notes(["a", "b"]), key="id").num_rows == 2
    assert store.tables() == ["half", "whole"]


RIVAL = """
    import sys
    import pyarrow as pa
    from featurestore.stores import connect
    store = connect(sys.argv[1])
    import lancedb
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string())])
    print("ready", flush=True)
    sys.stdin.readline()
    for batch in range(5):
        ids = [f"{batch}-{row}" for row in range(200)] + [f"own-{sys.argv[2]}-{batch}"]
        store.upsert("t", pa.table([ids, [sys.argv[2]] * 201], schema=schema), key="id")
"""


def test_rival_writers_of_the_same_new_keys_make_no_duplicates(tmp_path):
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RIVAL), str(tmp_path), str(number)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for rival in rivals:
        assert rival.stdout is not None
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    for rival in rivals:
        rival.communicate()
        assert rival.returncode == 0
    ids = connect(str(tmp_path)).read("t")["id"].to_pylist()
    assert len(ids) == len(set(ids)) == 5 * 200 + 4 * 5


FILLER = """
    import sys
    import pyarrow as pa
    from featurestore.errors import StorageFullError
    from featurestore.stores import connect
    store = connect(sys.argv[1])
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string())])
    import os
    stored = 0
    try:
        for batch in range(1_000):
            rows = [[f"{batch}-{row}" for row in range(500)], [os.urandom(100).hex() for _ in range(500)]]
            stored = store.upsert("t", pa.table(rows, schema=schema), key="id").num_rows
    except StorageFullError as error:
        print(error)
    try:
        store.objects.put_new("runs/big.json", b"x" * 8_000_000)
    except StorageFullError as error:
        print(error)
    print(stored, store.latest("t").num_rows, store.objects.list("runs/"))
"""


def test_a_full_disk_keeps_what_was_committed(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f'mount -t tmpfs -o size=4m tmpfs {disk} && exec {sys.executable} -c "$0" {disk}/store'
    unshare = shutil.which("unshare")
    if (
        unshare is None
        or subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine lets nobody mount a small disk to fill")
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", mounted, textwrap.dedent(FILLER)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *messages, summary = done.stdout.strip().splitlines()
    text = "\n".join(messages)
    assert "no space left on the device while writing 't' of" in text
    assert "/store/runs/big.json.\n" in text
    assert "Free some space and run the command again: what was committed before is kept." in text
    committed, latest, left_behind = summary.split(maxsplit=2)
    assert int(committed) == int(latest) > 0
    assert left_behind == "[]"


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

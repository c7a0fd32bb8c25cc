"""Writers of a LanceDB store that die, that are rivals, or whose disk is full."""

import random
import shutil
import subprocess
import sys
import textwrap
import time

import pytest
from lance_processes import ROOT, notes, start

from featurestore.stores import connect

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

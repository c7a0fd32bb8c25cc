"""A store says which format it has; versions that do not know it keep their hands off."""

from pathlib import Path

import pyarrow as pa
import pytest

from featurestore import store_format
from featurestore.errors import NewerStoreError, OldStoreError
from featurestore.objects import LocalObjects
from featurestore.store_format import FORMAT, record_format, stored_format
from featurestore.stores import connect

ROWS = pa.table([["a"]], schema=pa.schema([pa.field("id", pa.string(), nullable=False)]))


def _first_version(folder: Path) -> str:
    """A store as the first version left it: tables, and no record of a format."""
    connect(str(folder)).upsert("t", ROWS, key="id")
    objects = LocalObjects(folder)
    for path in objects.list("format/"):
        objects.delete(path)
    return str(folder)


def test_the_first_write_records_the_format(tmp_path: Path):
    store = connect(str(tmp_path / "store"))
    assert store.tables() == []
    assert store.objects.list("") == []
    assert stored_format(store.objects) == 0
    store.objects.put_new("runs/a.json", b"{}")
    assert store.objects.list("") == [f"format/{FORMAT:06d}.json", "runs/a.json"]
    assert stored_format(store.objects) == FORMAT


def test_other_files_in_the_folder_make_no_store(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    store = connect(str(tmp_path))
    store.upsert("t", ROWS, key="id")
    assert stored_format(store.objects) == FORMAT


def test_an_older_store_is_read_and_not_written(tmp_path: Path):
    uri = _first_version(tmp_path)
    store = connect(uri)
    assert store.read("t").equals(ROWS)
    assert stored_format(store.objects) == 1
    writes = (
        lambda: store.upsert("t", ROWS, key="id"),
        lambda: store.replace("t", ROWS),
        lambda: store.delete("t", ["a"], key="id"),
        lambda: store.objects.put_new("runs/a.json", b"{}"),
        lambda: store.objects.delete("runs/a.json"),
    )
    for write in writes:
        with pytest.raises(
            OldStoreError, match=f"has format 1; this version writes format {FORMAT}"
        ) as caught:
            write()
        assert "Run `featurestore migrate` once" in caught.value.hint
        assert caught.value.exit_code == 7
    assert store.tables() == ["t"]
    assert store.objects.list("format/") == []


def test_a_migration_may_write_an_older_store(tmp_path: Path):
    store = connect(_first_version(tmp_path), oldest_writable=1)
    store.upsert("t", ROWS, key="id")
    assert stored_format(store.objects) == 1, "only the last step of a migration says that it is done"


def test_an_older_product_meets_a_newer_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    uri = str(tmp_path)
    connect(uri).upsert("t", ROWS, key="id")
    record_format(LocalObjects(tmp_path), FORMAT + 1)
    store = connect(uri)
    uses = (
        store.tables,
        lambda: store.read("t"),
        lambda: store.latest("t"),
        lambda: store.objects.list("releases/"),
        lambda: store.objects.read("releases/000001.json"),
        lambda: store.upsert("t", ROWS, key="id"),
        lambda: store.objects.put_new("runs/a.json", b"{}"),
    )
    for use in uses:
        with pytest.raises(
            NewerStoreError, match=f"has format {FORMAT + 1}; version .* up to {FORMAT}"
        ) as caught:
            use()
        assert caught.value.exit_code == 15
        assert "pip install --upgrade cot-featurestore" in caught.value.hint
    monkeypatch.setattr(store_format, "FORMAT", FORMAT + 1)
    assert connect(uri).read("t").equals(ROWS)


def test_two_first_writers_agree(tmp_path: Path):
    """Whoever comes second finds a table and no record only if he looked for the record too early."""
    objects = LocalObjects(tmp_path)
    looks = iter([[], ["tables/t.lance/_versions/1.manifest"], [f"format/{FORMAT:06d}.json"]])
    objects.list = lambda _: next(looks)
    assert stored_format(objects) == FORMAT

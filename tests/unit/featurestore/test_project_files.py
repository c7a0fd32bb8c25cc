"""Files that still name forgotten users: whole cells, whatever the id's length and the file's format."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from featurestore.erasure.project_files import ProjectFiles, search_project
from featurestore.ingest import IngestRequest
from featurestore.sessions import SessionPolicy

EVENTS = pl.DataFrame({"user_id": ["U0003", "7", "x"], "item_id": ["I1", "I2", "I3"], "rating": [5, 7, 8]})


def search(
    folder: Path, *users: str, sources: IngestRequest | None = None, byte_forms: tuple[bytes, ...] = ()
) -> ProjectFiles:
    out = folder / "store"
    return search_project(folder, users, sources=sources, byte_forms=byte_forms, without=[out])


@pytest.mark.parametrize(
    "content",
    [
        b"7",
        b"7,I033,5\n",
        b"a,b\r\nI033,7\r\n",
        b"I033\t7\t5\n",
        b"I033;7;5\n",
        b"I033 | 7 | 5\n",
        b'{"user_id": "7"}\n',
        b"user: '7'\n",
        b"1::7::5\n",
    ],
)
def test_a_cell_of_a_text_file_is_found(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.txt").write_bytes(content)
    assert search(tmp_path, "no", "7") == ProjectFiles((tmp_path / "file.txt",), ())


@pytest.mark.parametrize(
    "content", [b"77,I033\n", b"I7,0\n", b'{"seed": 7}', b"7 rows, I033\n", b"-7,x\n", b""]
)
def test_part_of_a_cell_is_not(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.txt").write_bytes(content)
    assert search(tmp_path, "7") == ProjectFiles((), ())


def test_ids_that_json_escapes_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(["näm"]))
    (tmp_path / "b.csv").write_text("näm,1\n", encoding="utf-8")
    assert search(tmp_path, "näm").naming == (tmp_path / "a.json", tmp_path / "b.csv")


def test_what_is_no_text_is_listed_by_folder(tmp_path: Path) -> None:
    for name in (".git/a/1", ".git/b/2", "models/x/w.bin", "models/x/v.bin", "data/late.csv.gz", "store/t"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"7,x\n") if name.endswith("gz") else b"\x00\x01user-4711")
    assert search(tmp_path, "7").not_searched == (
        f"{tmp_path / '.git'} (2 files that are binary or compressed)",
        f"{tmp_path / 'data/late.csv.gz'} (binary or compressed)",
        f"{tmp_path / 'models/x'} (2 files that are binary or compressed)",
    )
    found = search(tmp_path, "user-4711", byte_forms=(b"user-4711",))
    assert [path.name for path in found.naming] == ["1", "2", "v.bin", "w.bin"]
    assert found.not_searched == (f"{tmp_path / 'data/late.csv.gz'} (binary or compressed)",)


@pytest.mark.parametrize("name", ["events.parquet", "events.csv.gz", "events.csv", "events.jsonl"])
@pytest.mark.parametrize("inside", [True, False])
def test_files_that_are_ingested_are_read_whatever_their_format(
    tmp_path: Path, name: str, inside: bool
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    path = (project if inside else tmp_path) / name
    if name.endswith("parquet"):
        EVENTS.write_parquet(path)
    elif name.endswith("jsonl"):
        EVENTS.write_ndjson(path)
    else:
        text = EVENTS.write_csv().encode()
        path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    sources = IngestRequest({"interactions": path})
    for user in ("U0003", "7"):
        assert search(project, user, sources=sources) == ProjectFiles((path,), ())
    assert search(project, "8", "I1", sources=sources) == ProjectFiles((), ()), "no ids of users"


def test_mapped_columns_sessions_and_refused_lines_count_too(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("who,item_id\nu1,i1\nu2,i1,too,many\n")
    sources = IngestRequest(
        {"interactions": path},
        columns={"interactions": {"user_id": "who"}},
        sessions=SessionPolicy(by="gap"),
    )
    for user in ("u1/0", "u2/3", "u1"):
        assert search(tmp_path, user, sources=sources).naming == (path,)
    assert search(tmp_path, "u3/0", sources=sources).naming == ()


def test_texts_about_items_name_users_as_whole_cells(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": ["7", "8"], "seller": ["U0003", "9"]}).write_parquet(path)
    sources = IngestRequest({"items": path})
    assert search(tmp_path, "U0003", sources=sources).naming == (path,)
    assert search(tmp_path, "7", sources=sources).naming == ()


def test_an_ingested_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    path.write_bytes(b"PAR1 no \x00")
    sources = IngestRequest({"interactions": path, "users": tmp_path / "absent.csv"})
    found = search(tmp_path, "7", sources=sources)
    assert found.naming == ()
    assert found.not_searched[0].startswith(f"{path} ({path} cannot be read as parquet")

"""Tables: what each ending reads, and what becomes of files and lines that cannot be read."""

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.errors import InputError, RowContractError, UnknownNameError, UsageError
from featurestore.sources import FORMATS, read_source
from featurestore.sources.source import ROW_NUMBER
from featurestore.sources.tables import read_table

ROWS = [{"item_id": "a", "title": "Tea, green\nloose"}, {"item_id": "b", "title": 'Say "Käse"'}]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    if name.endswith(".parquet"):
        pl.DataFrame(ROWS).write_parquet(path)
    elif ".csv" in name or ".tsv" in name:
        text = pl.DataFrame(ROWS).write_csv(separator="\t" if ".tsv" in name else ",")
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    else:
        path.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())
    return path


@pytest.mark.parametrize(
    "name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.csv.gz", "a.tsv", "A.CSV"]
)
def test_every_ending_reads_the_same_rows(tmp_path: Path, name: str) -> None:
    table = read_table(write(tmp_path, name.lower()).rename(tmp_path / name))
    assert table.rows.select("item_id", "title").to_dicts() == ROWS
    assert table.rows[ROW_NUMBER].to_list() == [1, 2]
    assert table.rejected == ()
    assert table.origin == name


def test_bad_json_lines_are_refused_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"item_id": "a"}\n{"item_id": "b"\n\n[1, 2]\n'
        b'{"item_id": "\xe4"}\n{"item_id": 5}\nnull\n'
    )
    table = read_table(path)
    assert table.rows["item_id"].to_list() == ["a", "5"]
    assert table.rows[ROW_NUMBER].to_list() == [1, 6]
    assert [(r.row_number, r.reason) for r in table.rejected] == [
        (2, "bad_json"),
        (4, "bad_json"),
        (5, "bad_encoding"),
        (7, "bad_json"),
    ]
    assert table.rejected[0].raw == '{"item_id": "b"'


def test_deeply_nested_and_half_emoji_lines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"item_id": "a", "title": "cut \\ud83d"}\n' + "[" * 100_000 + "\n", encoding="utf-8")
    table = read_table(path)
    assert table.rows["title"].to_list() == ["cut \ufffd"]
    assert [r.reason for r in table.rejected] == ["bad_json"]
    assert len(table.rejected[0].raw) == 4096


def test_a_line_beyond_the_limit_is_refused_without_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurestore.sources.json_lines.MAX_LINE_BYTES", 100)
    path = tmp_path / "a.jsonl"
    long = json.dumps({"item_id": "x" * 1000})
    path.write_text(f'{{"item_id": "a"}}\n{long}\n{{"item_id": "b"}}\n', encoding="utf-8")
    table = read_table(path)
    assert table.rows["item_id"].to_list() == ["a", "b"]
    assert [(r.row_number, r.reason) for r in table.rejected] == [(2, "line_too_long")]


def test_values_of_mixed_kinds_become_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurestore.sources.json_lines._BATCH_ROWS", 2)
    path = tmp_path / "a.jsonl"
    rows = [
        {"n": 1, "m": 1, "l": ["x", 2], "d": {"k": [1]}, "big": 2**70},
        {"n": 2.5, "m": "1", "l": None, "d": {}, "big": 1, "late": None},
        {"n": 3, "m": True, "l": "plain", "new": [["p", "q"]], "late": ["z"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = read_table(path).rows
    assert found["n"].to_list() == [1.0, 2.5, 3.0]
    assert found["m"].to_list() == ["1", "1", "true"]
    assert found["l"].to_list() == ['["x", "2"]', None, "plain"]
    assert found["d"].to_list() == ['{"k": [1]}', "{}", None]
    assert found["big"].to_list() == [str(2**70), "1", None]
    assert found["late"].to_list() == [None, None, ["z"]]
    assert found["new"].to_list() == [None, None, [["p", "q"]]]


def test_csv_rows_with_too_many_or_few_fields_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('item_id,title\na,"Tea"\nb,one,two\nc\nd,\n', encoding="utf-8")
    table = read_table(path)
    assert table.rows["item_id"].to_list() == ["a", "d"]
    assert table.rows["title"].to_list() == ["Tea", None]
    assert table.rows[ROW_NUMBER].to_list() == [1, 4]
    assert [(r.row_number, r.reason, r.raw) for r in table.rejected] == [
        (2, "bad_row", "b,one,two"),
        (3, "bad_row", "c"),
    ]


def test_a_megabyte_in_one_csv_field_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'item_id,title\na,"{"x" * 2_000_000}"\n', encoding="utf-8")
    assert read_table(path).rows["title"].str.len_chars().to_list() == [2_000_000]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty (0 bytes)"),
        ("a.csv", b"item_id,title\n", "a.csv holds no rows"),
        ("a.csv", b"item_id,title\na,K\xe4se\n", "is not UTF-8: line 2 holds the byte 0xe4.*iconv -f latin1"),
        ("a.csv", "item_id,title\na,x\n".encode("utf-16"), "is not UTF-8: line 1 .*iconv -f utf-16"),
        ("a.csv", b"\n\xe1\x00,\x9c\n" * 9, "is not UTF-8: line 2 holds the byte 0xe1"),
        ("a.csv.gz", gzip.compress(b"item_id,title\na,K\xe4se\n"), "is not UTF-8: line 2"),
        (
            "a.csv",
            b'item_id,title\na,x\nZ,"unclosed\nb,y\nc,z\n',
            "mark that opens a field in line 3 is not closed: the file ends within it",
        ),
        (
            "a.csv.gz",
            gzip.compress(b'item_id,title\na,"x\nb,"y"\nc,"z"\n'),
            "opens a field in line 2 is not closed: another quotation mark in line 3 ends it",
        ),
        ("a.csv", b"item_id,title,title\na,x,y\n", r"a\.csv has more than one column 'title'\."),
        ("a.tsv", b'item_id\ttitle\na\t"x, y\n', "opens a field in line 2 is not closed"),
        ("a.csv.gz", gzip.compress(b"item_id,title\n" * 500)[:-20], "cannot be read as CSV"),
        ("a.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("a.jsonl", b"\n\n", "a.jsonl holds no rows"),
        (
            "a.jsonl",
            b"[\n{}\n]\n"[:2],
            r"none of the 1 lines of a.jsonl could be read; line 1: bad_json: '\['",
        ),
        ("a.jsonl.gz", gzip.compress(b'{"item_id": 1}\n' * 500)[:-20], "is a damaged gzip file after line"),
        ("a.xlsx", b"PK", "has an ending that no table format has"),
    ],
    ids=[
        "empty csv",
        "header only",
        "latin-1",
        "utf-16",
        "no text at all",
        "latin-1 in gzip",
        "open quote",
        "quote of another row",
        "repeated column",
        "open quote in tsv",
        "cut csv gzip",
        "no parquet",
        "blank lines",
        "array",
        "cut gzip",
        "spreadsheet",
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="(?s)" + message.replace("(0 bytes)", r"\(0 bytes\)")):
        read_table(tmp_path / name)


def test_a_repeated_column_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    columns = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["item_id", "title", "title"])
    pq.write_table(columns, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"as parquet: .*'title' has more than one occurrence"):
        read_table(tmp_path / "a.parquet")


def test_columns_without_a_name_may_be_several(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("item_id,,\na,b,c\n")
    assert read_table(tmp_path / "a.csv").rows["item_id"].to_list() == ["a"]


def test_missing_files_and_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*a\.csv"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(InputError, match="is a folder; expected a file"):
        read_table(tmp_path)


def test_ids_of_json_lines_are_text_or_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    values = ["b", 7, "2.0", 2.0, 3.5, True, ["x"], None, 2**70]
    path.write_text("".join(json.dumps({"asin": value, "score": 1.5}) + "\n" for value in values))
    table = read_source("table", "items", path, {"item_id": "asin"})
    assert table.rows["item_id"].to_list() == ["b", "7", "2.0", None, str(2**70)]
    assert [(r.row_number, r.reason) for r in table.rejected] == [(n, "bad_id") for n in (4, 5, 6, 7)]
    assert read_source("table", "items", path, {"title": "asin"}).num_read == len(values)


def test_mapped_columns_take_our_names(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"asin": ["a"], "title": ["old"], "name": ["new"], "year": [1990]}).write_parquet(path)
    table = read_source("table", "items", path, {"item_id": "asin", "title": "name"})
    assert table.rows.drop(ROW_NUMBER).to_dicts() == [{"year": 1990, "item_id": "a", "title": "new"}]


def test_one_column_may_be_read_under_two_of_our_names(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"item_id": ["a"], "title": ["T"]}).write_parquet(path)
    found = read_source("table", "items", path, {"description": "title"}).rows
    assert found.select("title", "description").rows() == [("T", "T")]


def test_a_split_column_is_the_part(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "split": ["test"]}).write_parquet(path)
    assert read_source("table", "interactions", path, {}).rows["part"].to_list() == ["test"]


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "a.parquet")
    with pytest.raises(
        UnknownNameError, match=r"unknown source format 'tabel'. Did you mean 'table'\? Known: amazon"
    ):
        read_source("tabel", "items", path, {})
    with pytest.raises(
        UnknownNameError, match=r"unknown column of items 'descripton'. Did you mean 'description'"
    ):
        read_source("table", "items", path, {"descripton": "title"})
    with pytest.raises(RowContractError) as caught:
        read_source("table", "items", path, {"description": "titel"})
    assert caught.value.message == "a.parquet has no column 'titel'. Nearest: 'title'. Found: item_id, title."
    assert "--map items.OURS=THEIRS" in caught.value.hint
    with pytest.raises(UsageError, match="'amazon-2014' has no users file; it has items, interactions"):
        read_source("amazon-2014", "users", path, {})


def test_every_format_says_what_it_reads() -> None:
    assert all(name == source.name and source.description for name, source in FORMATS.items())

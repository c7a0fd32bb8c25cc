"""MovieLens 100k and 1M, in the exact form of the published files."""

from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import InputError
from featurestore.row_contract import check_rows
from featurestore.sources import read_source
from featurestore.sources.source import Role


def checked(folder: Path, name: str, role: Role, text: str) -> pl.DataFrame:
    path = folder / f"{role}.dat"
    path.write_bytes(text.encode("latin-1"))
    return check_rows(read_source(name, role, path, {}), role).rows


def test_100k_ratings(tmp_path: Path) -> None:
    events = checked(
        tmp_path, "movielens-100k", "interactions", "196\t242\t3\t881250949\r\n186\t302\t3\t891717742\n"
    )
    assert events.select("user_id", "item_id", "rating", "timestamp").rows() == [
        ("196", "242", 3.0, 881250949),
        ("186", "302", 3.0, 891717742),
    ]


def test_100k_items_read_genres_and_latin_1(tmp_path: Path) -> None:
    flags = ["0"] * 19
    flags[5] = flags[8] = "1"
    line = f"1|Misérables, Les (1995)|01-Jan-1995||http://us.imdb.com/M?title|{'|'.join(flags)}\n"
    unknown = f"267|unknown||||1|{'|'.join(['0'] * 18)}\n"
    items = checked(tmp_path, "movielens-100k", "items", line + unknown)
    assert items.to_dicts()[0] == {
        "item_id": "1",
        "title": "Misérables, Les (1995)",
        "brand": None,
        "categories": "Comedy; Drama",
        "description": None,
        "price": None,
        "release_date": "01-Jan-1995",
        "imdb_url": "http://us.imdb.com/M?title",
    }
    assert items["categories"].to_list()[1] == "unknown"


def test_100k_users(tmp_path: Path) -> None:
    users = checked(tmp_path, "movielens-100k", "users", "1|24|M|technician|85711\n")
    assert users.to_dicts() == [
        {"user_id": "1", "age": "24", "gender": "M", "occupation": "technician", "zip_code": "85711"}
    ]


def test_1m_files(tmp_path: Path) -> None:
    name = "movielens-1m"
    events = checked(tmp_path, name, "interactions", "1::1193::5::978300760\n")
    assert events.select("user_id", "item_id", "rating", "timestamp").rows() == [
        ("1", "1193", 5.0, 978300760)
    ]
    items = checked(tmp_path, name, "items", "1::Toy Story (1995)::Animation|Children's|Comedy\n")
    assert items.select("item_id", "title", "categories").rows() == [
        ("1", "Toy Story (1995)", "Animation; Children's; Comedy")
    ]
    users = checked(tmp_path, name, "users", "1::F::1::10::48067\n2::M::99::20::70072\n")
    assert users.rows() == [
        ("1", "F", "under 18", "K-12 student", "48067"),
        ("2", "M", "99", "writer", "70072"),
    ]


def test_lines_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_text("1\t2\t3\t4\n1,2,3,4\n", encoding="latin-1")
    table = read_source("movielens-100k", "interactions", path, {})
    assert table.rows.height == 1
    assert [(r.row_number, r.reason, r.raw) for r in table.rejected] == [(2, "bad_row", "1,2,3,4")]
    path.write_text("user,item\n1,2\n", encoding="latin-1")
    with pytest.raises(
        InputError, match=r"none of the 2 lines of u.data could be read; line 1: bad_row: 'user,item'"
    ):
        read_source("movielens-100k", "interactions", path, {})

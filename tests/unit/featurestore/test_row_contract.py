"""The row contract: each way to break it has one stated outcome."""

import json
from typing import Any

import polars as pl
import pytest

from featurestore.errors import InputError, RowContractError
from featurestore.row_contract import CheckedRows, check_rows
from featurestore.sources.source import Rejected, Role, SourceTable, number_rows
from featurestore.splits import SplitMethod


def table(**columns: list[Any]) -> SourceTable:
    return SourceTable("f.parquet", number_rows(pl.DataFrame(columns, strict=False)))


def reasons(checked: CheckedRows) -> list[tuple[int, str]]:
    return list(checked.quarantine.select("row_number", "reason").iter_rows())


def event(**changes: Any) -> dict[str, Any]:
    return {
        "user_id": "u",
        "item_id": "a",
        "rating": "4",
        "timestamp": "100",
        "position": "0",
        "part": "train",
    } | changes


def check_events(
    *events: dict[str, Any], split: SplitMethod = "none", items: list[str] | None = None
) -> CheckedRows:
    columns = {name: [e[name] for e in events] for name in events[0]}
    known = pl.Series(items) if items is not None else None
    return check_rows(table(**columns), "interactions", known_items=known, split=split)


def test_ids_are_trimmed_unique_and_never_empty() -> None:
    checked = check_rows(
        table(item_id=[" a ", None, "", "a", "  ", "cafe\u0301", "caf\u00e9"], title=list("1234567")),
        "items",
    )
    assert checked.rows.select("item_id", "title").rows() == [("a", "1"), ("caf\u00e9", "6")]
    assert reasons(checked) == [
        (2, "empty_id"),
        (3, "empty_id"),
        (4, "duplicate_id"),
        (5, "empty_id"),
        (7, "duplicate_id"),
    ]
    assert checked.reasons == {"empty_id": 3, "duplicate_id": 2}
    assert checked.num_read == 7


def test_whole_numbers_become_text_ids() -> None:
    assert check_rows(table(item_id=[7, 8]), "items").rows["item_id"].to_list() == ["7", "8"]


def test_the_contracts_columns_are_there_even_if_the_file_has_none() -> None:
    rows = check_rows(table(item_id=["a"], year=[1999]), "items").rows
    assert rows.to_dicts() == [
        {
            "item_id": "a",
            "title": None,
            "brand": None,
            "categories": None,
            "description": None,
            "price": None,
            "year": "1999",
        }
    ]
    assert rows.schema["price"] == pl.Float64


def test_lists_become_one_text_in_our_columns_and_stay_lists_in_others() -> None:
    checked = check_rows(
        table(
            item_id=["a", "b"],
            categories=[[["Toys", "Games"], ["Gifts"]], None],
            description=[["One.", None, "Two."], []],
            cast=[["Ann", "Bob"], None],
            awards=[[{"year": 1}], []],
        ),
        "items",
    )
    first, second = checked.rows.to_dicts()
    assert first["categories"] == "Toys > Games; Gifts"
    assert first["description"] == "One.\nTwo."
    assert first["cast"] == ["Ann", "Bob"]
    assert json.loads(first["awards"]) == {"awards": [{"year": 1}]}
    assert second["description"] is None


def test_long_and_hostile_texts_are_kept_as_they_are() -> None:
    hostile = "<b>x</b><|im_start|>\x00" + "y" * 1_000_000
    assert check_rows(table(item_id=["a"], description=[hostile]), "items").rows["description"][0] == hostile


def test_blank_text_is_empty_text() -> None:
    assert check_rows(table(item_id=["a"], title=[" \n"]), "items").rows["title"].to_list() == [None]


def test_prices_are_read_or_left_empty_and_counted() -> None:
    checked = check_rows(table(item_id=list("abcd"), price=["$1,299.50", "7", "$1 - $2", None]), "items")
    assert checked.rows["price"].to_list() == [1299.5, 7.0, None, None]
    assert checked.notes == {"items.price unreadable, left empty": 1}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("881250949", 881250949),
        (881250949.9, 881250949),
        (1588687728923, 1588687728),
        ("1588687728923000", 1588687728),
        ("2017-11-07", 1510012800),
        ("2017-11-07 00:00:01", 1510012801),
        ("2017-11-07T00:00:01Z", 1510012801),
        ("2017-11-07T02:00:01.250+02:00", 1510012801),
        (0, 0),
        (10**11 - 1, 10**11 - 1),
        (10**11, 10**8),
        (1600000000 * 10**9, 1600000000),
        ("1600000000000000000", 1600000000),
        ("5138-11-16", 99_999_964_800),
        ("1969-12-31", -86_400),
    ],
)
def test_timestamps_are_unix_seconds(given: object, seconds: int) -> None:
    assert check_events(event(timestamp=given)).rows["timestamp"].to_list() == [seconds]


@pytest.mark.parametrize(
    "given",
    ["99999999999999999999", 1e20, 10**11 * 10**9, float("inf"), -1, "-0.5", "5138-11-17", "9999-12-31"],
)
def test_times_out_of_range_are_quarantined(given: object) -> None:
    checked = check_events(event(), event(item_id="b", timestamp=given))
    assert reasons(checked) == [(2, "bad_timestamp")]


def test_time_columns_of_parquet_are_read() -> None:
    times = pl.Series(["2017-11-07T00:00:01"]).str.to_datetime()
    found = check_rows(table(user_id=["u"], item_id=["a"], timestamp=times.to_list()), "interactions")
    assert found.rows["timestamp"].to_list() == [1510012801]


def test_broken_events_each_have_their_reason() -> None:
    checked = check_events(
        event(),
        event(user_id=" "),
        event(item_id=None),
        event(item_id="x"),
        event(timestamp="soon"),
        event(timestamp="-5"),
        event(rating="five"),
        event(rating="nan"),
        event(position="1.5"),
        event(part="tset"),
        event(part=None),
        event(),
        event(rating="1"),
        event(timestamp=None, rating=None, position="1"),
        split="official",
        items=["a"],
    )
    assert reasons(checked) == [
        (2, "empty_id"),
        (3, "empty_id"),
        (4, "unknown_item"),
        (5, "bad_timestamp"),
        (6, "bad_timestamp"),
        (7, "bad_rating"),
        (8, "bad_rating"),
        (9, "bad_position"),
        (10, "bad_part"),
        (11, "bad_part"),
        (12, "duplicate_event"),
        (13, "duplicate_event"),
    ]
    assert checked.rows.height == 2
    raw = json.loads(checked.quarantine.row(3, named=True)["raw"])
    assert raw == event(timestamp="soon")


def test_a_repeat_of_a_refused_row_is_not_a_duplicate() -> None:
    checked = check_events(event(rating="bad"), event(), event())
    assert reasons(checked) == [(1, "bad_rating"), (3, "duplicate_event")]


def test_the_same_pair_at_another_time_is_another_event() -> None:
    assert check_events(event(), event(timestamp="101")).rows.height == 2
    pairs = table(user_id=["u", "u"], item_id=["a", "a"])
    assert reasons(check_rows(pairs, "interactions")) == [(2, "duplicate_event")]


def test_a_temporal_split_needs_every_timestamp() -> None:
    assert reasons(check_events(event(), event(timestamp=None), split="temporal")) == [(2, "bad_timestamp")]


def test_lines_that_were_no_rows_are_quarantined_in_place() -> None:
    rows = table(item_id=["a", ""])
    rows = SourceTable(rows.origin, rows.rows, (Rejected(0, "bad_json", "x" * 9000),))
    checked = check_rows(rows, "items")
    assert reasons(checked) == [(0, "bad_json"), (2, "empty_id")]
    assert checked.quarantine["raw"].str.len_chars().to_list()[0] == 4096
    assert checked.num_read == 3


@pytest.mark.parametrize("role", ["items", "users", "interactions"])
def test_an_absent_id_column_is_refused_with_the_nearest(role: Role) -> None:
    with pytest.raises(RowContractError) as caught:
        check_rows(table(itemid=["a"], userid=["u"]), role)
    near = "itemid" if role == "items" else "userid"
    name = "item_id" if role == "items" else "user_id"
    assert caught.value.message == (
        f"f.parquet has no column '{name}'. Nearest: '{near}'. Found: itemid, userid."
    )
    assert f"--map {role}.OURS=THEIRS" in caught.value.hint


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": [1.5]}, "column 'item_id' of f.parquet is Float64; expected text or whole numbers"),
        ({"item_id": ["a"], "title": [{"en": "x"}]}, "column 'title' of f.parquet is Struct.*expected text"),
        (
            {"item_id": ["a"], "price": [[1.0]]},
            "column 'price' of f.parquet is List.*expected one value a row",
        ),
    ],
)
def test_columns_of_the_wrong_kind_are_refused(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(RowContractError, match=message):
        check_rows(table(**columns), "items")


def test_a_file_without_a_usable_row_is_refused_with_an_example() -> None:
    with pytest.raises(
        InputError, match=r"none of the 2 rows of f.parquet can be used as items; row 1: empty_id: "
    ):
        check_rows(table(item_id=["", ""], title=["x", "y"]), "items")

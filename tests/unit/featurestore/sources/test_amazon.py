"""Amazon Reviews, in the exact form of the published files of each year."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore.row_contract import check_rows
from featurestore.sources import read_source
from featurestore.sources.source import Role

META_2014 = (
    "{'asin': '0000031852', 'title': \"Girls' Ballet Tutu\", 'price': 3.17, 'imUrl': 'http://x/a.jpg', "
    "'related': {'also_bought': ['B00JHONN1S']}, 'salesRank': {'Toys & Games': 211836}, 'brand': 'Coxlures', "
    "'categories': [['Sports & Outdoors', 'Other Sports', 'Dance'], ['Toys']], "
    "'description': 'Soft \\d tulle.'}"
)
REVIEW_2014 = {
    "reviewerID": "A2SUAM1J3GNN3B",
    "asin": "0000031852",
    "reviewerName": "J. McDonald",
    "helpful": [2, 3],
    "reviewText": "Nice tutu.",
    "overall": 5.0,
    "summary": "Heavenly",
    "unixReviewTime": 1252800000,
    "reviewTime": "09 13, 2009",
}
META_2018 = {
    "category": ["Office Products", "Office &amp; School Supplies"],
    "tech1": "",
    "description": ["First part.", "<b>Second</b> part."],
    "fit": "",
    "title": "Pen",
    "also_buy": ["B1"],
    "brand": "Bic",
    "feature": ["Blue", "Smooth"],
    "rank": "1,000 in Office",
    "main_cat": "Office Products",
    "price": "$1,012.50",
    "asin": "0012624861",
    "imageURL": [],
}
REVIEW_2018 = {
    "overall": 4.0,
    "vote": "2",
    "verified": True,
    "reviewTime": "11 7, 2017",
    "reviewerID": "A1GG51FWU0XQYH",
    "asin": "0012624861",
    "style": {"Format:": " Kindle"},
    "reviewerName": "Paul",
    "reviewText": "Fine.",
    "summary": "Four Stars",
    "unixReviewTime": 1510012800,
}
META_2023 = {
    "main_category": "All Beauty",
    "title": "Howard LC0008 Leather Conditioner",
    "average_rating": 4.8,
    "rating_number": 10,
    "features": ["8 oz"],
    "description": ["Cleans.", "Protects."],
    "price": 9.99,
    "images": [{"thumb": "x"}],
    "videos": [],
    "store": "Howard Products",
    "categories": ["Beauty", "Hair Care"],
    "details": {"Brand": "Howard"},
    "parent_asin": "B01CUPMQZE",
    "bought_together": None,
}
REVIEW_2023 = {
    "rating": 5.0,
    "title": "Such a lovely scent",
    "text": "Not overpowering.",
    "images": [],
    "asin": "B00YQ6X8EO",
    "parent_asin": "B01CUPMQZE",
    "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
    "timestamp": 1588687728923,
    "helpful_vote": 0,
    "verified_purchase": True,
}


def checked(folder: Path, name: str, role: Role, *lines: str) -> pl.DataFrame:
    path = folder / f"{role}.json.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return check_rows(read_source(name, role, path, {}), role).rows


def row(frame: pl.DataFrame) -> dict[str, Any]:
    return frame.row(0, named=True)


def test_metadata_of_2014_is_python_literals(tmp_path: Path) -> None:
    items = checked(tmp_path, "amazon-2014", "items", META_2014, "{'asin': __import__('os')}")
    assert items.to_dicts() == [
        {
            "item_id": "0000031852",
            "title": "Girls' Ballet Tutu",
            "brand": "Coxlures",
            "categories": "Sports & Outdoors > Other Sports > Dance; Toys",
            "description": "Soft \\d tulle.",
            "price": 3.17,
        }
    ]


@pytest.mark.parametrize(
    ("name", "review", "seconds", "text", "title"),
    [
        ("amazon-2014", REVIEW_2014, 1252800000, "Nice tutu.", "Heavenly"),
        ("amazon-2018", REVIEW_2018, 1510012800, "Fine.", "Four Stars"),
        ("amazon-2023", REVIEW_2023, 1588687728, "Not overpowering.", "Such a lovely scent"),
    ],
)
def test_reviews_of_every_year(
    tmp_path: Path, name: str, review: dict[str, Any], seconds: int, text: str, title: str
) -> None:
    event = row(checked(tmp_path, name, "interactions", json.dumps(review)))
    assert event == {
        "user_id": review.get("reviewerID") or review["user_id"],
        "item_id": review.get("parent_asin") or review["asin"],
        "rating": review.get("overall") or review["rating"],
        "timestamp": seconds,
        "review": text,
        "review_title": title,
    }


def test_metadata_of_2018(tmp_path: Path) -> None:
    assert row(checked(tmp_path, "amazon-2018", "items", json.dumps(META_2018))) == {
        "item_id": "0012624861",
        "title": "Pen",
        "brand": "Bic",
        "categories": "Office Products > Office &amp; School Supplies",
        "description": "First part.\n<b>Second</b> part.",
        "price": 1012.5,
        "features": ["Blue", "Smooth"],
        "main_category": "Office Products",
    }


def test_metadata_of_2023(tmp_path: Path) -> None:
    assert row(checked(tmp_path, "amazon-2023", "items", json.dumps(META_2023))) == {
        "item_id": "B01CUPMQZE",
        "title": "Howard LC0008 Leather Conditioner",
        "brand": "Howard Products",
        "categories": "Beauty > Hair Care",
        "description": "Cleans.\nProtects.",
        "price": 9.99,
        "features": ["8 oz"],
        "main_category": "All Beauty",
    }


def test_empty_lists_and_odd_prices_are_empty_fields(tmp_path: Path) -> None:
    bare = META_2018 | {"description": [], "category": [], "price": "$5.99 - $12.99", "feature": []}
    other = META_2018 | {"asin": "1"}
    items = checked(tmp_path, "amazon-2018", "items", json.dumps(other), json.dumps(bare))
    assert items.row(1, named=True) == {
        "item_id": "0012624861",
        "title": "Pen",
        "brand": "Bic",
        "categories": None,
        "description": None,
        "price": None,
        "features": [],
        "main_category": "Office Products",
    }

"""Amazon Reviews 2014, 2018 and 2023: review and metadata files, one object a line, usually gzipped.

Sources: McAuley et al. (SIGIR 2015) for 2014; Ni et al. (EMNLP 2019) for 2018; Hou et al. (arXiv 2403.03952)
for 2023. Field names are those of the files as published. Pictures and links to other items are not read.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl

from featurestore.sources.json_lines import read_json_lines
from featurestore.sources.source import Columns, Role, SourceFormat, SourceTable, require_rows

_REVIEWS_2014: Columns = {
    "user_id": "reviewerID",
    "item_id": "asin",
    "rating": "overall",
    "timestamp": "unixReviewTime",
    "review": "reviewText",
    "review_title": "summary",
}
_ITEMS_2014: Columns = {
    "item_id": "asin",
    "title": "title",
    "brand": "brand",
    "categories": "categories",
    "description": "description",
    "price": "price",
}
_ITEMS_2018: Columns = {
    **_ITEMS_2014,
    "categories": "category",
    "features": "feature",
    "main_category": "main_cat",
}
_REVIEWS_2023: Columns = {
    "user_id": "user_id",
    "item_id": "parent_asin",
    "rating": "rating",
    "timestamp": "timestamp",
    "review": "text",
    "review_title": "title",
}
_ITEMS_2023: Columns = {
    **_ITEMS_2014,
    "item_id": "parent_asin",
    "brand": "store",
    "features": "features",
    "main_category": "main_category",
}


def _amazon(year: str, columns: Mapping[Role, Columns], *, one_path: str | None) -> SourceFormat:
    """A format of one year.

    Args:
        year: The release of the data set.
        columns: Our name → the file's, per role.
        one_path: The metadata field that holds one category path as a flat list, if there is one.
    """

    def read(path: Path, role: Role, ids: Collection[str]) -> SourceTable:
        fields = list(columns[role].values())
        literals = role == "items" and year == "2014"
        table = require_rows(read_json_lines(path, fields=fields, ids=ids, python_literals=literals))
        if role != "items" or one_path is None or table.rows.schema.get(one_path) != pl.List(pl.String):
            return table
        joined = pl.col(one_path).list.drop_nulls().list.join(" > ")
        return SourceTable(table.origin, table.rows.with_columns(joined), table.rejected)

    return SourceFormat(
        name=f"amazon-{year}",
        description=f"Amazon Reviews {year}: a reviews file as interactions, a metadata file as items",
        read=read,
        columns=columns,
    )


AMAZON_2014 = _amazon("2014", {"items": _ITEMS_2014, "interactions": _REVIEWS_2014}, one_path=None)
AMAZON_2018 = _amazon("2018", {"items": _ITEMS_2018, "interactions": _REVIEWS_2014}, one_path="category")
AMAZON_2023 = _amazon("2023", {"items": _ITEMS_2023, "interactions": _REVIEWS_2023}, one_path="categories")

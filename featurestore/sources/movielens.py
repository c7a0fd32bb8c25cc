"""MovieLens 100k and 1M (Harper and Konstan, TiiS 2015): lines of separated fields in Latin-1, no header."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import polars as pl

from featurestore.sources.source import (
    Rejected,
    Role,
    SourceFormat,
    SourceTable,
    number_rows,
    require_file,
    require_rows,
)

GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""Genres in the order of the flags in ``u.item``."""

AGES_1M = {
    "1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56+",
}  # fmt: skip
OCCUPATIONS_1M = (
    "other", "academic or educator", "artist", "clerical or admin", "college or graduate student",
    "customer service", "doctor or health care", "executive or managerial", "farmer", "homemaker",
    "K-12 student", "lawyer", "programmer", "retired", "sales or marketing", "scientist", "self-employed",
    "technician or engineer", "tradesman or craftsman", "unemployed", "writer",
)  # fmt: skip

_RATING_FIELDS = ("user_id", "item_id", "rating", "timestamp")


def _read_100k(path: Path, role: Role, ids: Collection[str]) -> SourceTable:
    del ids  # all fields are text
    match role:
        case "interactions":
            return _read_fields(path, "\t", _RATING_FIELDS)
        case "users":
            return _read_fields(path, "|", ("user_id", "age", "gender", "occupation", "zip_code"))
        case "items":
            names = ("item_id", "title", "release_date", "video_release_date", "imdb_url", *GENRES_100K)
            table = _read_fields(path, "|", names)
    flags = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES_100K]
    genres = pl.concat_list(flags).list.drop_nulls().alias("categories")
    rows = table.rows.with_columns(genres).drop(*GENRES_100K, "video_release_date")
    return SourceTable(table.origin, rows, table.rejected)


def _read_1m(path: Path, role: Role, ids: Collection[str]) -> SourceTable:
    del ids
    match role:
        case "interactions":
            return _read_fields(path, "::", _RATING_FIELDS)
        case "users":
            table = _read_fields(path, "::", ("user_id", "gender", "age", "occupation", "zip_code"))
            occupations = {str(number): words for number, words in enumerate(OCCUPATIONS_1M)}
            words = [_decoded("age", AGES_1M), _decoded("occupation", occupations)]
        case "items":
            table = _read_fields(path, "::", ("item_id", "title", "categories"))
            words = [pl.col("categories").str.split("|")]
    return SourceTable(table.origin, table.rows.with_columns(words), table.rejected)


def _decoded(name: str, meanings: Mapping[str, str]) -> pl.Expr:
    return pl.col(name).replace_strict(meanings, default=pl.col(name))


def _read_fields(path: Path, separator: str, names: Sequence[str]) -> SourceTable:
    """Lines of ``len(names)`` fields; a line with another number of fields is refused as ``bad_row``."""
    require_file(path)
    text = path.read_bytes().decode("latin-1")
    lines = pl.DataFrame({"line": text.split("\n")}).with_columns(pl.col("line").str.strip_chars_end("\r"))
    found = (
        lines.with_row_index("number", offset=1)
        .filter(pl.col("line").str.strip_chars() != "")
        .with_columns(fields=pl.col("line").str.split(separator))
    )
    is_row = pl.col("fields").list.len() == len(names)
    bad = found.filter(~is_row)
    rejected = tuple(Rejected(n, "bad_row", line) for n, line, _ in bad.iter_rows())
    good = found.filter(is_row)
    rows = good.select(_filled(pl.col("fields").list.get(i)).alias(name) for i, name in enumerate(names))
    return require_rows(SourceTable(path.name, number_rows(rows, good["number"].to_list()), rejected))


def _filled(value: pl.Expr) -> pl.Expr:
    return pl.when(value != "").then(value)


_ROLES: Mapping[Role, Mapping[str, str]] = {"items": {}, "users": {}, "interactions": {}}

MOVIELENS_100K = SourceFormat(
    name="movielens-100k",
    description="MovieLens 100k: u.data as interactions, u.item as items, u.user as users",
    read=_read_100k,
    columns=_ROLES,
)
MOVIELENS_1M = SourceFormat(
    name="movielens-1m",
    description="MovieLens 1M: ratings.dat as interactions, movies.dat as items, users.dat as users",
    read=_read_1m,
    columns=_ROLES,
)

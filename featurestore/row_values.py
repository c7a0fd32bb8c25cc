"""Values of source columns, brought to the types of the row contract: one expression per kind of column.

Every function takes a column's name and type and gives an expression. What cannot be read becomes null; the
caller compares with the raw column to see which values those were.
"""

import polars as pl

from featurestore import columns as c

_MILLISECONDS_FROM = 10**11
_MICROSECONDS_FROM = 10**14
_NANOSECONDS_FROM = 10**17
_SECONDS_BELOW = 10**11
"""The year 5138: what is later is no time of an event, in whatever unit."""
_DATE_FORMATS = ("%Y-%m-%d %H:%M:%S%z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_FRACTION = r"[.,]\d+"
_OFFSET_COLON = r"([+-]\d\d):(\d\d)$"


def is_id_type(dtype: pl.DataType) -> bool:
    """Whether a column can hold ids: text or whole numbers."""
    return dtype.is_integer() or isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


def external_id(name: str, dtype: pl.DataType) -> pl.Expr:
    """Ids as text: NFC, without white space around; null if nothing is left."""
    if dtype.is_integer():
        return pl.col(name).cast(pl.String)
    stripped = pl.col(name).cast(pl.String).str.strip_chars()
    return pl.when(stripped != "").then(stripped.str.normalize("NFC"))


def is_text_type(dtype: pl.DataType) -> bool:
    """Whether a column can be read as one text: text, numbers, or a list of them."""
    inner = dtype
    while isinstance(inner, pl.List | pl.Array):
        inner = inner.inner
    return not isinstance(inner, pl.Struct | pl.Binary)


def text(name: str, dtype: pl.DataType, *, separator: str = "\n") -> pl.Expr:
    """One text; the parts of a list are joined by ``separator``, those of an inner list by `` > ``."""
    value = pl.col(name)
    if isinstance(dtype, pl.List | pl.Array):
        value = value.arr.to_list() if isinstance(dtype, pl.Array) else value
        inner = pl.element().cast(pl.String)
        if isinstance(dtype.inner, pl.List | pl.Array):
            inner = pl.element().list.eval(pl.element().cast(pl.String)).list.join(" > ", ignore_nulls=True)
        value = value.list.eval(inner).list.drop_nulls().list.join(separator)
    value = value.cast(pl.String)
    return pl.when(value.str.strip_chars() != "").then(value)


def other_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column beyond the contract: text, or a list of texts."""
    value = pl.col(name)
    match dtype:
        case pl.List() | pl.Array():
            as_list = value.arr.to_list() if isinstance(dtype, pl.Array) else value
            if isinstance(dtype.inner, pl.List | pl.Array | pl.Struct):
                return pl.struct(value).struct.json_encode().alias(name)
            return as_list.list.eval(pl.element().cast(pl.String)).alias(name)
        case pl.Struct():
            return value.struct.json_encode()
        case pl.Binary():
            return value.bin.encode("base64")
        case _:
            return value.cast(pl.String)


def number(name: str) -> pl.Expr:
    """A finite number, from a number or its text."""
    value = pl.col(name).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def price(name: str, dtype: pl.DataType) -> pl.Expr:
    """A price in the currency of the data: ``12.5``, ``"$1,299.00"``; null for a range or words."""
    if dtype != pl.String:
        return number(name)
    plain = pl.col(name).str.strip_chars().str.strip_prefix("$").str.replace_all(",", "", literal=True)
    value = plain.cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def unix_seconds(name: str, dtype: pl.DataType) -> pl.Expr:
    """Unix seconds, UTC, int64.

    Numbers from 10¹¹ on are taken as milliseconds, from 10¹⁴ on as microseconds, from 10¹⁷ on as nanoseconds
    (10¹¹ seconds is the year 5138). Text may be such a number, or an ISO date or date and time; without an
    offset it is UTC. Null from the year 5138 on, and for negative numbers; a date may lie before 1970.
    """
    value = pl.col(name)
    match dtype:
        case pl.Datetime() | pl.Date():
            seconds = value.dt.epoch("s")
        case pl.String():
            stripped = value.str.strip_chars()
            seconds = pl.coalesce(_scaled(stripped.cast(pl.Float64, strict=False)), _iso_seconds(stripped))
        case _:
            seconds = _scaled(value.cast(pl.Float64, strict=False))
    return pl.when(seconds < _SECONDS_BELOW).then(seconds)


def _scaled(value: pl.Expr) -> pl.Expr:
    seconds = (
        pl.when(value >= _NANOSECONDS_FROM)
        .then(value / 1e9)
        .when(value >= _MICROSECONDS_FROM)
        .then(value / 1e6)
        .when(value >= _MILLISECONDS_FROM)
        .then(value / 1e3)
        .otherwise(value)
    )
    return pl.when(value.is_finite() & (value >= 0)).then(seconds.floor()).cast(pl.Int64, strict=False)


def _iso_seconds(value: pl.Expr) -> pl.Expr:
    plain = (
        value.str.replace("T", " ", literal=True)
        .str.replace(r"Z$", "+0000")
        .str.replace(_FRACTION, "")
        .str.replace(_OFFSET_COLON, "${1}${2}")
    )
    parsed = [
        plain.str.to_datetime(form, strict=False, time_zone="UTC", time_unit="us") for form in _DATE_FORMATS
    ]
    return pl.coalesce(parsed).dt.epoch("s")


TEXT_SEPARATORS = {c.TITLE: " ", c.BRAND: ", ", c.CATEGORIES: "; ", c.DESCRIPTION: "\n", c.REVIEW: "\n"}
"""What joins the parts of a text column that came as a list."""

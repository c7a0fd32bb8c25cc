"""The row contract: what each column may hold, and the one outcome of every row that breaks it.

=============  ==========================================  ===================================================
file           what is wrong                               outcome
=============  ==========================================  ===================================================
any            no id column, or ids that are no text or    `RowContractError`, nothing is written
               whole numbers
any            no row can be used                          `InputError`, nothing is written
any            a line that cannot be parsed                ``bad_json``, ``bad_row``, ``bad_encoding`` or
                                                           ``line_too_long`` (JSON lines and ``.dat`` files)
any            id absent or blank                          ``empty_id``
any            id of a JSON line that is neither text nor  ``bad_id``
               a whole number, such as 2.0 or true
items, users   id seen before                              first row kept, this one ``duplicate_id``
interactions   item not in the items file                  ``unknown_item`` (with an items file only)
interactions   timestamp given but unreadable, negative,   ``bad_timestamp``
               or of the year 5138 or later
interactions   no timestamp, split is temporal             ``bad_timestamp``
interactions   rating given but no finite number           ``bad_rating``
interactions   position given but no whole number          ``bad_position``
interactions   part unknown or absent, split is official   ``bad_part``
interactions   same user, item, timestamp, position, part  first row kept, this one ``duplicate_event``
items          price unreadable                            row kept, price empty, counted as a note
any            blank text                                  row kept, text empty
any            very long text, HTML, template tokens       kept as they are: cleaning comes before prompting
=============  ==========================================  ===================================================

Rows with a reason go to ``source.quarantine``. Columns beyond the contract are kept as text or lists of text.
"""

from dataclasses import dataclass, field

import polars as pl

from featurestore import columns as c
from featurestore import row_values as values
from featurestore import schema
from featurestore.errors import InputError, RowContractError
from featurestore.sources.source import (
    ID_COLUMNS,
    RAW_CHARS,
    REJECTED_SCHEMA,
    ROW_NUMBER,
    Role,
    SourceTable,
    data_columns,
    map_hint,
    require_column,
)
from featurestore.split_rules import PART_NAMES
from featurestore.splits import SplitMethod

_REASON = "__reason__"
_CONTRACTS = {"items": schema.ITEMS, "users": schema.USERS, "interactions": schema.INTERACTIONS}


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """One file after its row contract.

    Attributes:
        rows: Good rows: contract columns first (all of them, null where the file has none), then the file's
            other columns. Interactions have no ``position`` and ``part`` unless the file has them.
        quarantine: Refused rows, under `schema.QUARANTINE`.
        num_read: Rows of the file; each is either in ``rows`` or in ``quarantine``.
        notes: What was set aside within good rows, and how often.
    """

    rows: pl.DataFrame
    quarantine: pl.DataFrame
    num_read: int
    notes: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def reasons(self) -> dict[str, int]:
        """Refused rows by reason, most frequent first."""
        counts = self.quarantine[c.REASON].value_counts(sort=True)
        return dict(counts.iter_rows())


def check_rows(
    table: SourceTable,
    role: Role,
    *,
    known_items: pl.Series | None = None,
    split: SplitMethod = "leave_one_out",
) -> CheckedRows:
    """Apply the contract to the rows of one file.

    Args:
        table: Under our column names.
        role: Which contract.
        known_items: Interactions only: the ids of the items file; None if there is none.
        split: Interactions only: the split method, which may need a timestamp or a part.

    Raises:
        RowContractError: If an id column is absent, or a column has a type that cannot be read.
        InputError: If no row is left.
    """
    _require_types(table, role)
    converted = table.rows.with_columns(_conversions(table.rows, role))
    checks = [*_id_checks(role), *_event_checks(table.rows, role, known_items, split)]
    reason = pl.coalesce([pl.when(broken).then(pl.lit(name)) for name, broken in checks])
    marked = pl.concat([converted, table.rows.select(_raw(table.rows, role))], how="horizontal")
    marked = marked.with_columns(reason.alias(_REASON))
    good, repeated = _split_repeats(marked.filter(pl.col(_REASON).is_null()), role)
    refused = pl.concat([marked.filter(pl.col(_REASON).is_not_null()), repeated])
    quarantine = pl.concat([table.rejected_frame(), _quarantined(table, refused)]).sort(
        "row_number", maintain_order=True
    )
    if not good.height:
        first = quarantine.row(0, named=True)
        raise InputError(
            f"none of the {table.num_read} rows of {table.origin} can be used as {role}; "
            f"row {first['row_number']}: {first[c.REASON]}: {first[c.RAW][:120]}"
        )
    return CheckedRows(_ordered(good, role), quarantine, table.num_read, _notes(good, role))


def _require_types(table: SourceTable, role: Role) -> None:
    for name in ID_COLUMNS[role]:
        require_column(table, name, hint=map_hint(role))
        dtype = table.rows.schema[name]
        if not values.is_id_type(dtype):
            raise _wrong_type(table, name, dtype, "text or whole numbers")
    for name in _CONTRACTS[role].names:
        dtype = table.rows.schema.get(name)
        if dtype is None or name in ID_COLUMNS[role]:
            continue
        if not values.is_text_type(dtype):
            raise _wrong_type(table, name, dtype, "text, numbers or lists of text")
        if name not in values.TEXT_SEPARATORS and isinstance(dtype, pl.List | pl.Array):
            raise _wrong_type(table, name, dtype, "one value a row")


def _wrong_type(table: SourceTable, name: str, dtype: pl.DataType, expected: str) -> RowContractError:
    return RowContractError(
        f"column {name!r} of {table.origin} is {dtype}; expected {expected}.",
        hint="Convert the column, or map another one with --map.",
    )


def _raw_name(name: str) -> str:
    return f"__raw__{name}"


def _raw(rows: pl.DataFrame, role: Role) -> list[pl.Expr]:
    """The contract columns as they came, for checks and for quarantine."""
    contract = [name for name in _CONTRACTS[role].names if name in rows.columns]
    return [values.other_text(name, rows.schema[name]).alias(_raw_name(name)) for name in contract]


def _conversions(rows: pl.DataFrame, role: Role) -> list[pl.Expr]:
    return [
        _conversion(name, dtype, role).alias(name)
        for name, dtype in rows.schema.items()
        if name != ROW_NUMBER
    ]


def _conversion(name: str, dtype: pl.DataType, role: Role) -> pl.Expr:  # noqa: PLR0911 (one line per column)
    if name in ID_COLUMNS[role]:
        return values.external_id(name, dtype)
    if name not in _CONTRACTS[role].names:
        return values.other_text(name, dtype)
    match name:
        case c.PRICE:
            return values.price(name, dtype)
        case c.RATING:
            return values.number(name)
        case c.TIMESTAMP:
            return values.unix_seconds(name, dtype)
        case c.POSITION:
            return pl.col(name).cast(pl.Int64, strict=False)
        case c.PART:
            return pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase()
        case _:
            return values.text(name, dtype, separator=values.TEXT_SEPARATORS[name])


def _id_checks(role: Role) -> list[tuple[str, pl.Expr]]:
    return [("empty_id", pl.any_horizontal(pl.col(name).is_null() for name in ID_COLUMNS[role]))]


def _event_checks(
    rows: pl.DataFrame, role: Role, known_items: pl.Series | None, split: SplitMethod
) -> list[tuple[str, pl.Expr]]:
    if role != "interactions":
        return []
    checks: list[tuple[str, pl.Expr]] = []
    if known_items is not None:
        checks.append(("unknown_item", ~pl.col(c.ITEM_ID).is_in(known_items.implode())))
    for name in (c.TIMESTAMP, c.RATING, c.POSITION):
        if name in rows.columns:
            lost = pl.col(name).is_null() & _was_given(name)
            checks.append((f"bad_{name}", lost))
    if split == "temporal" and c.TIMESTAMP in rows.columns:
        checks.append(("bad_timestamp", pl.col(c.TIMESTAMP).is_null()))
    if split == "official" and c.PART in rows.columns:
        checks.append(("bad_part", ~pl.col(c.PART).is_in(list(PART_NAMES)).fill_null(value=False)))
    return checks


def _was_given(name: str) -> pl.Expr:
    return pl.col(_raw_name(name)).str.strip_chars().fill_null("") != ""


def _split_repeats(good: pl.DataFrame, role: Role) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The first row of each key, and the later ones with their reason."""
    key = [*ID_COLUMNS[role]]
    if role == "interactions":
        key += [name for name in (c.TIMESTAMP, c.POSITION, c.PART) if name in good.columns]
    is_first = good.select(pl.struct(key).is_first_distinct()).to_series()
    name = "duplicate_event" if role == "interactions" else "duplicate_id"
    return good.filter(is_first), good.filter(~is_first).with_columns(pl.lit(name).alias(_REASON))


def _quarantined(table: SourceTable, bad: pl.DataFrame) -> pl.DataFrame:
    raw_columns = {_raw_name(name): name for name in data_columns(table.rows)}
    shown = [pl.col(raw if raw in bad.columns else name).alias(name) for raw, name in raw_columns.items()]
    return bad.select(
        pl.lit(table.origin).alias("source"),
        pl.col(ROW_NUMBER).alias("row_number"),
        pl.col(_REASON).alias(c.REASON),
        pl.struct(shown).struct.json_encode().str.head(RAW_CHARS).alias(c.RAW),
    ).cast(REJECTED_SCHEMA)  # pyright: ignore[reportArgumentType]  (a dict of types is a schema)


def _ordered(good: pl.DataFrame, role: Role) -> pl.DataFrame:
    contract = pl.DataFrame(_CONTRACTS[role].empty_table()).schema
    optional = {c.POSITION, c.PART}
    first = [
        pl.col(name) if name in good.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in contract.items()
        if name in good.columns or name not in optional
    ]
    hidden = {ROW_NUMBER, _REASON, *contract}
    others = [n for n in good.columns if n not in hidden and not n.startswith("__raw__")]
    return good.select(*first, *others)


def _notes(good: pl.DataFrame, role: Role) -> dict[str, int]:
    if role != "items" or _raw_name(c.PRICE) not in good.columns:
        return {}
    lost = good.select((pl.col(c.PRICE).is_null() & _was_given(c.PRICE)).sum()).item()
    return {"items.price unreadable, left empty": lost} if lost else {}

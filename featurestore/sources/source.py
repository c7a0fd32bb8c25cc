"""What every source format delivers: rows under our column names, and the lines it could not read."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl

from featurestore import columns as c
from featurestore.errors import InputError, RowContractError, nearest_name

Role: TypeAlias = Literal["items", "users", "interactions"]
ROLES: tuple[Role, ...] = ("items", "users", "interactions")

ID_COLUMNS: Mapping[Role, tuple[str, ...]] = {
    "items": (c.ITEM_ID,),
    "users": (c.USER_ID,),
    "interactions": (c.USER_ID, c.ITEM_ID),
}
"""What a row of each file must be called by."""

ROW_NUMBER = "__row_number__"
"""Place of a row in its file, from 1: the line, or the data row of a table (a header is not counted)."""
RAW_CHARS = 4096
"""Characters of a refused row that quarantine keeps."""

REJECTED_SCHEMA = {"source": pl.String, "row_number": pl.Int64, c.REASON: pl.String, c.RAW: pl.String}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is no row."""

    row_number: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One file as read.

    Attributes:
        origin: The file's name, for messages and quarantine.
        rows: Its rows, with their place in column `ROW_NUMBER`.
        rejected: Lines that could not be read.
    """

    origin: str
    rows: pl.DataFrame
    rejected: tuple[Rejected, ...] = ()

    @property
    def num_read(self) -> int:
        """Rows and unreadable lines together."""
        return self.rows.height + len(self.rejected)

    def rejected_frame(self) -> pl.DataFrame:
        """The unreadable lines as rows of quarantine."""
        found = [(self.origin, r.row_number, r.reason, r.raw[:RAW_CHARS]) for r in self.rejected]
        return pl.DataFrame(found, schema=REJECTED_SCHEMA, orient="row")


Columns: TypeAlias = Mapping[str, str]
"""Our column name → the file's."""


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A public or general file format.

    Attributes:
        name: What ``--format`` calls it.
        description: One sentence: which files it reads.
        read: Reads one file of a role, with the file's own column names. Of the columns named last, the ids,
            it refuses JSON values that are neither text nor whole numbers.
        columns: For each role that the format has: our column name → the file's, where they differ.
    """

    name: str
    description: str
    read: Callable[[Path, Role, Collection[str]], SourceTable]
    columns: Mapping[Role, Columns] = field(default_factory=dict[Role, Columns])


def require_file(path: Path) -> None:
    """Check that there is something to read.

    Raises:
        InputError: If the file is missing, a folder, or empty.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a file.")
    if not path.exists():
        raise InputError(
            f"there is no file {path}.", hint="Paths in featurestore.toml are relative to its folder."
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes).")


def require_rows(table: SourceTable) -> SourceTable:
    """The table itself, if it has rows.

    Raises:
        InputError: If nothing in the file could be read as a row.
    """
    if table.rows.height:
        return table
    if not table.rejected:
        raise InputError(f"{table.origin} holds no rows.")
    first = table.rejected[0]
    raise InputError(
        f"none of the {len(table.rejected)} lines of {table.origin} could be read; "
        f"line {first.row_number}: {first.reason}: {first.raw[:120]!r}.",
        hint="Check --format and the file's encoding (UTF-8 is expected).",
    )


def rename_columns(table: SourceTable, wanted: Columns, contract: Collection[str]) -> SourceTable:
    """Give columns our names; those that the file lacks are passed over.

    A column that had one of our names before gives way. A column of the contract that is read under another
    of our names too stays itself (``description = "title"`` leaves the title).

    Args:
        table: As read.
        wanted: Our name → the file's name.
        contract: All our names.
    """
    present = {ours: theirs for ours, theirs in wanted.items() if theirs in table.rows.columns}
    taken = {*present, *(theirs for theirs in present.values() if theirs not in contract)}
    others = [name for name in table.rows.columns if name not in taken]
    renamed = [pl.col(theirs).alias(ours) for ours, theirs in present.items()]
    return SourceTable(table.origin, table.rows.select(*others, *renamed), table.rejected)


def map_hint(role: Role) -> str:
    """What to do about a column that a data set's file lacks."""
    return f"Say which column it is with --map {role}.OURS=THEIRS, or choose the file's --format."


def require_column(table: SourceTable, name: str, *, hint: str) -> None:
    """Check that a column is there.

    Args:
        table: As read.
        name: The column.
        hint: What to do if it is absent.

    Raises:
        RowContractError: Naming the file, the columns it has, and the nearest one.
    """
    found = data_columns(table.rows)
    if name in found:
        return
    near = nearest_name(name, found)
    guess = f" Nearest: {near!r}." if near else ""
    raise RowContractError(
        f"{table.origin} has no column {name!r}.{guess} Found: {', '.join(found) or 'none'}.",
        hint=hint,
    )


def data_columns(rows: pl.DataFrame) -> list[str]:
    """The file's own columns."""
    return [name for name in rows.columns if name != ROW_NUMBER]


def number_rows(rows: pl.DataFrame, numbers: Sequence[int] | None = None) -> pl.DataFrame:
    """Add the place of each row: ``numbers`` if given, else counted from 1."""
    place = pl.Series(ROW_NUMBER, numbers or range(1, rows.height + 1), dtype=pl.Int64)
    return rows.with_columns(place)

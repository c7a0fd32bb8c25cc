"""Source formats: files in, rows under our column names out. A new format is one new file and a line here."""

from collections.abc import Mapping
from pathlib import Path

from featurestore import schema
from featurestore.errors import UnknownNameError, UsageError
from featurestore.sources.amazon import AMAZON_2014, AMAZON_2018, AMAZON_2023
from featurestore.sources.movielens import MOVIELENS_1M, MOVIELENS_100K
from featurestore.sources.source import (
    ID_COLUMNS,
    Role,
    SourceFormat,
    SourceTable,
    map_hint,
    rename_columns,
    require_column,
)
from featurestore.sources.tables import TABLE

FORMATS: Mapping[str, SourceFormat] = {
    source.name: source
    for source in (TABLE, AMAZON_2014, AMAZON_2018, AMAZON_2023, MOVIELENS_100K, MOVIELENS_1M)
}
"""Every format by the name that ``--format`` takes."""

_CONTRACTS = {"items": schema.ITEMS, "users": schema.USERS, "interactions": schema.INTERACTIONS}


def read_source(format_name: str, role: Role, path: Path, columns: Mapping[str, str]) -> SourceTable:
    """Read one file of a data set.

    Args:
        format_name: A name of `FORMATS`.
        role: What the file holds.
        path: The file.
        columns: Our column name → the file's, beyond what the format knows.

    Returns:
        The file's rows; known columns under our names, others as they are called in the file.

    Raises:
        UnknownNameError: For an unknown format, or a mapping of a column that the row contract does not have.
        UsageError: If the format has no files of this role.
        InputError: If the file cannot be read.
        RowContractError: If ``columns`` names a column that the file does not have.
    """
    if format_name not in FORMATS:
        raise UnknownNameError("source format", format_name, FORMATS.keys())
    source = FORMATS[format_name]
    if role not in source.columns:
        roles = ", ".join(source.columns)
        raise UsageError(f"the format {format_name!r} has no {role} file; it has {roles}.")
    contract = _CONTRACTS[role].names
    for name in columns:
        if name not in contract:
            raise UnknownNameError(f"column of {role}", name, contract)
    known = source.columns[role]
    ids = {columns.get(name, known.get(name, name)) for name in ID_COLUMNS[role]}
    table = source.read(path, role, ids)
    for theirs in columns.values():
        require_column(table, theirs, hint=map_hint(role))
    table = rename_columns(table, columns, contract)
    absent = {ours: theirs for ours, theirs in known.items() if ours not in table.rows.columns}
    return rename_columns(table, absent, contract)

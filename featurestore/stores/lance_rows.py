"""Rows and schemas as LanceDB wants them: a primary key that the schema names, filters, merges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from lancedb.table import Table as LanceTable

_PRIMARY_KEY = b"lance-schema:unenforced-primary-key"


def merge_rows(handle: "LanceTable", rows: pa.Table, key: str) -> None:
    """Insert rows, or replace those of equal key, in one commit."""
    merge = handle.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
    merge.use_index(False).execute(rows.replace_schema_metadata(None))


def delete_rows(handle: "LanceTable", ids: Sequence[str], key: str) -> None:
    """Remove the rows of these ids in one commit. Its record names none of them; that of a filter would."""
    named = pa.table(
        [pa.array(list(dict.fromkeys(ids)), pa.string())], schema=pa.schema([handle.schema.field(key)])
    )
    matching = handle.to_lance().merge_insert(key).when_matched_delete()
    matching.use_index(False).execute(named.replace_schema_metadata(None))


def is_in(key: str, ids: Sequence[str]) -> str:
    """The SQL filter for rows of these ids."""
    quoted = ",".join("'" + each.replace("'", "''") + "'" for each in ids)
    return f"`{key}` IN ({quoted})"


def key_of(schema: pa.Schema) -> str | None:
    """The column that a table's schema names as its primary key, if any."""
    return next((field.name for field in schema if field.metadata and _PRIMARY_KEY in field.metadata), None)


def with_key(rows: pa.Table, key: str | None) -> pa.Table:
    """Rows whose schema names ``key`` as LanceDB's primary key: set in the commit that creates the table."""
    fields = [
        f.with_metadata({_PRIMARY_KEY: b"true"}) if f.name == key else f for f in plain_schema(rows.schema)
    ]
    return pa.Table.from_arrays(rows.columns, schema=pa.schema(fields))


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """A schema without the marks that LanceDB keeps in its fields."""
    return pa.schema([field.remove_metadata() for field in schema])

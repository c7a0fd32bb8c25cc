"""Row selection and checks that every store adapter shares."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import InputError, MissingIdsError, StoreError

_RESERVED_COLUMNS = frozenset({"_rowid", "_rowaddr", "_rowoffset", "_distance", "_score"})


def select_rows(rows: pa.Table, table: str, *, ids: Sequence[str] | None, key: str) -> pa.Table:
    """The rows of ``ids`` in request order, or all rows if ``ids`` is None.

    Raises:
        MissingIdsError: Naming every id that is not there.
    """
    if ids is None:
        return rows
    wanted = pa.array(ids, pa.string())
    positions = pc.call_function("index_in", [wanted], pc.SetLookupOptions(rows[key].combine_chunks()))
    if positions.null_count:
        absent = wanted.filter(positions.is_null()).to_pylist()
        raise MissingIdsError(table, list(dict.fromkeys(absent)))
    return rows.take(positions)


def check_upsert(table: str, rows: pa.Table, *, key: str, schema: pa.Schema | None) -> None:
    """Refuse a batch that could duplicate rows or change a table's columns; their order does not matter.

    Raises:
        StoreError: If a key is null or occurs twice, the key column is no non-null string, or the columns
            differ from the table's.
    """
    if schema is not None and not _in_order(rows.schema).equals(_in_order(schema), check_metadata=False):
        raise StoreError(f"rows for {table!r} have columns\n{rows.schema}\nbut the table has\n{schema}")
    if key not in rows.column_names:
        raise StoreError(f"rows for {table!r} have no key column {key!r}; they have {rows.column_names}.")
    field = rows.schema.field(key)
    if field.nullable or field.type != pa.string():
        kind = f"{'nullable ' if field.nullable else ''}{field.type}"
        raise StoreError(f"the key {key!r} of {table!r} must be a non-null string column, got {kind}.")
    keys = rows[key]
    if keys.null_count:
        raise StoreError(f"rows for {table!r} hold {keys.null_count} empty keys in {key!r}.")
    num_unique = pc.call_function("count_distinct", [keys]).as_py()
    if num_unique != rows.num_rows:
        raise StoreError(f"rows for {table!r} hold {rows.num_rows - num_unique} repeated keys in {key!r}.")


def new_fields(schema: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """The fields of ``wanted`` that a table lacks."""
    return pa.schema([field.remove_metadata() for field in wanted if field.name not in schema.names])


def _in_order(schema: pa.Schema) -> pa.Schema:
    return pa.schema(sorted(schema, key=lambda field: field.name))


def check_storable(table: str, rows: pa.Table) -> None:
    """Refuse column names that LanceDB cannot address, and vectors that hold NaN or an infinity.

    Raises:
        InputError: Naming the columns.
        StoreError: Naming the column and the number of such rows.
    """
    names = [n for n in rows.column_names if not n or set(n) & set('.`"') or n in _RESERVED_COLUMNS]
    if names:
        raise InputError(
            f"these column names cannot be stored in {table!r}: {', '.join(map(repr, names))}.",
            hint="Rename them in the data: no dots, backticks or double quotes, not empty, and none of "
            f"{', '.join(sorted(_RESERVED_COLUMNS))}.",
        )
    for field in rows.schema:
        if not (pa.types.is_fixed_size_list(field.type) and pa.types.is_floating(field.type.value_type)):
            continue
        values = rows[field.name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        bad = np.count_nonzero(~np.isfinite(values.reshape(-1, field.type.list_size)).all(axis=1))
        if bad:
            raise StoreError(
                f"rows for {table!r} hold {bad} vectors with NaN or infinity in {field.name!r}.",
                hint="Nothing was written. Find out why the encoder made them, and encode again.",
            )

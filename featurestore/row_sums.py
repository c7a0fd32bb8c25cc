"""Checksums of rows that add up: the sum over a table is the sum over its parts, in any order.

A row is hashed to 128 bits, hashes are added modulo 2**128. So rows that go are subtracted and rows that come
are added, and a table that was compacted has the sum that it had. It guards against damage, not against
somebody who chooses rows so that their sum comes out.
"""

from hashlib import blake2b
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import StoreError

_BYTES: Final = 16
_MODULUS: Final = 1 << (8 * _BYTES)
_BATCH_ROWS: Final = 16_384
"""Bounds the memory that encoded rows take, and keeps them under the 2 GiB that one Arrow array holds."""


def sum_rows(rows: pa.Table) -> int:
    """The sum of the hashes of rows, below 2**128. About a second per million short rows.

    A row is hashed as its cells in ascending order of column names, each with its name, its length and its
    bytes. A null cell adds nothing: a column that is added without values changes no sum.

    Raises:
        StoreError: If a column is of a type that has no bytes of its own, such as a union.
    """
    rows = rows.select(sorted(rows.column_names))
    total = 0
    for start in range(0, rows.num_rows, _BATCH_ROWS):
        batch = rows.slice(start, _BATCH_ROWS).combine_chunks()
        cells = [_named(name, _bytes_of(batch[name].combine_chunks())) for name in batch.column_names]
        encoded = pc.call_function(
            "binary_join_element_wise", [*cells, b""], pc.JoinOptions(null_handling="skip")
        )
        hashes = b"".join(blake2b(row, digest_size=_BYTES).digest() for row in encoded.to_pylist())
        total += _sum_of(hashes)
    return total % _MODULUS


def add_sums(*sums: int) -> int:
    """The sum of rows taken together; a negative number takes rows away."""
    return sum(sums) % _MODULUS


def sum_text(total: int) -> str:
    """A sum as 32 hexadecimal characters."""
    return f"{total:0{2 * _BYTES}x}"


def _sum_of(hashes: bytes) -> int:
    """Adds 32 bits at a time, which no batch lets overflow."""
    lanes = np.frombuffer(hashes, "<u4").reshape(-1, _BYTES // 4).sum(axis=0, dtype=np.uint64)
    return sum(int(lane) << (32 * place) for place, lane in enumerate(lanes))


def _named(name: str, cells: pa.Array) -> pa.Array:
    """Each cell after its column's name and its own length; null stays null."""
    label = len(name.encode()).to_bytes(2, "little") + name.encode()
    return _with_length(cells, label)


def _with_length(cells: pa.Array, label: bytes = b"") -> pa.Array:
    length = pc.call_function("binary_length", [cells]).view(pa.binary(4)).cast(pa.binary())
    options = pc.JoinOptions(null_handling="emit_null")
    return pc.call_function("binary_join_element_wise", [label, length, cells, b""], options)


def _bytes_of(column: pa.Array) -> pa.Array:
    """The value of each cell as bytes, null where it is null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _bytes_of(column.dictionary_decode())
    if pa.types.is_fixed_size_list(kind):
        return _bytes_of_fixed(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _bytes_of_list(column)
    if pa.types.is_boolean(kind):
        return _bytes_of(column.cast(pa.uint8()))
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.binary())
    try:
        if pa.types.is_primitive(kind):
            column = column.view(pa.binary(kind.bit_width // 8))
        return column.cast(pa.binary())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StoreError(f"a column of type {kind} has no checksum: {error}") from error


def _bytes_of_fixed(column: pa.Array) -> pa.Array:
    """Lists of one length: their numbers side by side."""
    size = column.type.list_size
    values = column.values.slice(column.offset * size, len(column) * size).to_numpy(zero_copy_only=False)
    width = size * values.itemsize
    data = pa.py_buffer(np.ascontiguousarray(values))
    cells = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(column), [None, data])
    return _where(column.is_valid(), cells.cast(pa.binary()))


def _bytes_of_list(column: pa.Array) -> pa.Array:
    """Lists: each element after a one and its length; a null element is a zero."""
    elements = _with_length(_bytes_of(column.flatten()), b"\x01").fill_null(b"\x00")
    lengths = pc.call_function("list_value_length", [column]).fill_null(0).to_numpy()
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    lists = pa.ListArray.from_arrays(pa.array(offsets), elements)
    joined = pc.call_function("binary_join", [lists, pa.scalar(b"")])
    return _where(column.is_valid(), joined)


def _where(present: pa.Array, cells: pa.Array) -> pa.Array:
    return pc.call_function("if_else", [present, cells, pa.scalar(None, pa.binary())])

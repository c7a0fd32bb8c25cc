"""One JSON object a line, plain or gzipped, read in batches; a bad line is refused, not the file.

The 2014 Amazon metadata holds Python literals (``{'asin': '…'}``) instead of JSON: `read_json_lines` can take
those too.
"""

import ast
import gzip
import json
import warnings
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl

from featurestore.errors import InputError
from featurestore.sources.source import (
    RAW_CHARS,
    ROW_NUMBER,
    Rejected,
    SourceTable,
    number_rows,
    require_file,
)

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Longer lines are refused as ``line_too_long`` without being held in memory."""
MAX_LITERAL_BYTES = 4 * 1024 * 1024
"""Longer Python literals are refused: parsing them takes a hundred times their size in memory."""

_BATCH_ROWS = 50_000
_GZIP_MAGIC = b"\x1f\x8b"
_ID_TYPES = (str, int, type(None))
"""Not their subtypes: a boolean is none."""
_SCALARS = (str, int, float, bool)


def read_json_lines(
    path: Path,
    *,
    fields: Sequence[str] | None = None,
    ids: Collection[str] = (),
    python_literals: bool = False,
) -> SourceTable:
    """Read a ``.jsonl`` or ``.jsonl.gz`` file. Memory: the fields kept, plus one batch of 50,000 lines.

    Args:
        path: The file; gzip is recognised by its first bytes.
        fields: Fields to keep; all if None.
        ids: Fields that must be text or whole numbers, or absent: a line with another value, such as 2.0 or
            true, is refused as ``bad_id``.
        python_literals: Whether a line that is no JSON may be a Python literal.

    Raises:
        InputError: If the file is missing, empty, or its compression is damaged.
    """
    require_file(path)
    batches: list[pl.DataFrame] = []
    rejected: list[Rejected] = []
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (SyntaxWarning, DeprecationWarning))  # odd escapes in literals
        for number, line in _lines(path):
            record = line if isinstance(line, Rejected) else _record(number, line, ids, python_literals)
            if isinstance(record, Rejected):
                rejected.append(record)
                continue
            records.append(record if fields is None else {k: record[k] for k in fields if k in record})
            numbers.append(number)
            if len(records) == _BATCH_ROWS:
                batches.append(number_rows(frame_of(records), numbers))
                records, numbers = [], []
    if records:
        batches.append(number_rows(frame_of(records), numbers))
    return SourceTable(path.name, concat_batches(batches), tuple(rejected))


def frame_of(records: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Records as columns: numbers stay numbers, lists become lists of strings, the rest becomes text."""
    names = dict.fromkeys(name for record in records for name in record)
    if not names:
        return pl.DataFrame({ROW_NUMBER: [0] * len(records)})
    return pl.DataFrame([_series(name, [record.get(name) for record in records]) for name in names])


def concat_batches(batches: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Batches on top of each other; a column whose kind differs between batches becomes text."""
    if not batches:
        return pl.DataFrame(schema={ROW_NUMBER: pl.Int64})
    kinds: dict[str, set[pl.DataType]] = {}
    for batch in batches:
        for name, kind in batch.schema.items():
            kinds.setdefault(name, set()).add(kind)
    mixed = {name for name, found in kinds.items() if not _agree(found)}
    aligned = [b.with_columns(_as_text(b[n]) for n in b.columns if n in mixed) for b in batches]
    return pl.concat(aligned, how="diagonal_relaxed")


def _agree(kinds: set[pl.DataType]) -> bool:
    given = {kind for kind in kinds if kind != pl.Null}
    return len(given) <= 1 or all(kind.is_numeric() for kind in given)


def _lines(path: Path) -> Iterator[tuple[int, bytes | Rejected]]:
    number = 0
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if is_gzip else raw
        try:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    yield number, _too_long(number, line, stream)
                elif line.strip():
                    yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"{path} is a damaged gzip file after line {number}: {error}.", hint="Download it again."
            ) from None


def _too_long(number: int, line: bytes, stream: BinaryIO) -> Rejected:
    piece = line
    while piece and not piece.endswith(b"\n"):
        piece = stream.readline(MAX_LINE_BYTES)
    return Rejected(number, "line_too_long", _shown(line))


def _record(
    number: int, line: bytes, ids: Collection[str], python_literals: bool
) -> dict[str, Any] | Rejected:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Rejected(number, "bad_encoding", _shown(line))
    value = _parse(text, python_literals)
    if not isinstance(value, dict):
        return Rejected(number, "bad_json", _shown(line))
    record = cast("dict[str, Any]", value)
    if any(type(record.get(name)) not in _ID_TYPES for name in ids):
        return Rejected(number, "bad_id", _shown(line))
    return cast("dict[str, Any]", _without_surrogates(record)) if "\\u" in text else record


def _parse(text: str, python_literals: bool) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if not python_literals or len(text) > MAX_LITERAL_BYTES:
            return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _shown(line: bytes) -> str:
    return line[: 4 * RAW_CHARS].decode(errors="replace").rstrip("\r\n")[:RAW_CHARS]


def _without_surrogates(value: object) -> object:
    """Half a surrogate pair, as cut emojis leave behind, becomes U+FFFD."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_without_surrogates(v) for v in value]
        case dict():
            return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
        case _:
            return value


def _series(name: str, values: list[Any]) -> pl.Series:
    kinds: set[type] = {type(v) for v in values if v is not None}
    if not kinds:
        return pl.Series(name, values, dtype=pl.Null)
    if kinds == {str}:
        return pl.Series(name, values, dtype=pl.String)
    if kinds <= {int} and all(v is None or abs(v) < 2**63 for v in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds in ({float}, {int, float}):
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    if kinds <= {list}:
        return _list_series(name, values)
    return pl.Series(name, [_text(v) for v in values], dtype=pl.String)


def _list_series(name: str, values: list[list[Any] | None]) -> pl.Series:
    elements: list[Any] = [e for v in values if v is not None for e in v if e is not None]
    if all(isinstance(e, _SCALARS) for e in elements):
        flat = [None if v is None else [_text(e) for e in v] for v in values]
        return pl.Series(name, flat, dtype=pl.List(pl.String))
    if all(isinstance(e, list) for e in elements):
        nested = [None if v is None else [[_text(x) for x in e] for e in v if e is not None] for v in values]
        return pl.Series(name, nested, dtype=pl.List(pl.List(pl.String)))
    return pl.Series(name, [_text(v) for v in values], dtype=pl.String)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.List):
        return pl.Series(column.name, [_text(v) for v in column.to_list()], dtype=pl.String)
    return column.cast(pl.String)

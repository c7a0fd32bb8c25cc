"""Tables with column names: parquet, JSON lines, CSV and TSV, told apart by the file's ending."""

import codecs
from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from featurestore.errors import InputError
from featurestore.sources.csv_quotes import OpenQuote, QuoteReader
from featurestore.sources.json_lines import read_json_lines
from featurestore.sources.source import (
    Rejected,
    Role,
    SourceFormat,
    SourceTable,
    number_rows,
    require_file,
    require_rows,
)

_JSON_ENDINGS = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json.gz", ".json")
_DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
_BLOCK_BYTES = 64 * 1024 * 1024
_CHECKED_BYTES = 4 * 1024 * 1024
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_table(path: Path, *, ids: Collection[str] = ()) -> SourceTable:
    """Read a table.

    Args:
        path: ``.parquet``, ``.jsonl``, ``.jsonl.gz``, ``.csv`` or ``.tsv``. CSV values are all text.
        ids: Fields of JSON lines that must be text or whole numbers.

    Raises:
        InputError: If the file is missing, empty, damaged, of an unknown ending, or (parquet, CSV) not UTF-8;
            or if a quoted field of a CSV has no end, or two of its columns have one name.
    """
    require_file(path)
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        return require_rows(_read_parquet(path))
    if name.endswith(_JSON_ENDINGS):
        return require_rows(read_json_lines(path, ids=ids))
    for ending, delimiter in _DELIMITERS.items():
        if name.endswith(ending):
            return require_rows(_read_csv(path, delimiter))
    raise InputError(
        f"{path} has an ending that no table format has.",
        hint="Expected .parquet, .jsonl, .jsonl.gz, .csv, .tsv (or .gz of them); "
        "public data sets have a --format of their own.",
    )


def _read_parquet(path: Path) -> SourceTable:
    try:
        rows = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as parquet: {error}.") from None
    return SourceTable(path.name, number_rows(rows))


def _read_csv(path: Path, delimiter: str) -> SourceTable:
    rejected: list[Rejected] = []

    def refuse(row: pa_csv.InvalidRow) -> str:
        rejected.append(Rejected((row.number or 0) - 1, "bad_row", row.text))
        return "skip"

    parsing = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse)
    reading = pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    try:
        _require_sound_text(path, delimiter)
        with pa_csv.open_csv(path, read_options=reading, parse_options=parsing) as head:
            names = head.schema.names
        _require_distinct(path, names)
        rejected.clear()
        converting = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        table = pa_csv.read_csv(path, reading, parsing, converting)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} cannot be read as CSV: {error}.",
            hint="Expected a line of column names, then rows of as many columns.",
        ) from None
    return SourceTable(path.name, _number_around(pl.DataFrame(table), rejected), tuple(rejected))


def _require_distinct(path: Path, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path} has more than one column {', '.join(map(repr, repeated))}.",
            hint="Give each column a name of its own in the first line of the file, or take all but one out.",
        )


def _require_sound_text(path: Path, delimiter: str) -> None:
    """Refuse what the parser would not.

    On rows of another encoding it may abort the process; rows behind a quotation mark that is not closed it
    takes for one field. Reads the whole file once, in blocks.

    Raises:
        InputError: Naming the line of the first byte that is no UTF-8, or of the mark.
    """
    decoder, quotes = codecs.getincrementaldecoder("utf-8")(), QuoteReader(delimiter)
    lines, encoding = 1, "latin1"
    with pa.input_stream(path) as stream:
        while True:
            block = stream.read(_CHECKED_BYTES)
            if lines == 1 and block.startswith(_UTF_16_MARKS):
                encoding = "utf-16"
            try:
                lines += decoder.decode(block, final=not block).count("\n")
            except UnicodeDecodeError as error:
                lines += error.object[: error.start].count(b"\n")
                raise InputError(
                    f"{path} is not UTF-8: line {lines} holds the byte 0x{error.object[error.start]:02x}.",
                    hint=f"Convert it first, such as iconv -f {encoding} -t utf8.",
                ) from None
            if (swallows := quotes.read(block, final=not block)) is not None:
                raise _swallowed_rows(path, swallows)
            if not block:
                return


def _swallowed_rows(path: Path, quote: OpenQuote) -> InputError:
    end = (
        "the file ends" if quote.closed is None else f"another quotation mark in line {quote.closed} ends it"
    )
    where = "within it" if quote.closed is None else "in the midst of a field"
    return InputError(
        f"{path}: the quotation mark that opens a field in line {quote.opened} is not closed: {end} {where}, "
        "and the rows between would be lost.",
        hint="Close the field, or write it in quotation marks with each mark of its text doubled: "
        '"a ""quoted"" word".',
    )


def _number_around(rows: pl.DataFrame, rejected: list[Rejected]) -> pl.DataFrame:
    """Number the rows that are left, so that refused rows keep their place in the count."""
    refused = {r.row_number for r in rejected}
    places = (n for n in range(1, rows.height + len(refused) + 1) if n not in refused)
    return number_rows(rows, list(places))


def _read(path: Path, role: Role, ids: Collection[str]) -> SourceTable:
    del role
    return read_table(path, ids=ids)


TABLE = SourceFormat(
    name="table",
    description="parquet, JSON lines (.jsonl, .jsonl.gz), CSV or TSV with column names",
    read=_read,
    columns={"items": {}, "users": {}, "interactions": {"part": "split"}},
)

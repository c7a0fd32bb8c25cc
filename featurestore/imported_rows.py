"""Rows of an import: checked against the store's ids, digested, and put under the store's schemas."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore import row_values as values
from featurestore import schema
from featurestore.errors import InputError, RowContractError
from featurestore.ids import digest, digest_bytes, digest_texts
from featurestore.sources.source import ROW_NUMBER, Role, SourceTable, require_column
from featurestore.spec import Entity

ImportKind: TypeAlias = Literal["text", "vector"]

_EXAMPLES = 5
_VALUE = "value"


@dataclass(frozen=True, slots=True)
class CheckedImport:
    """Usable rows, and why the others are not.

    Attributes:
        rows: ``id`` and ``value`` (a text, or a list of float32 of one length), sorted by id.
        reasons: Rows left out, by reason.
        examples: First ids of each reason; row numbers where the id is empty.
    """

    rows: pl.DataFrame
    reasons: dict[str, int]
    examples: dict[str, list[str]]


def check_rows(
    source: SourceTable, *, key: str, column: str, kind: ImportKind, entity: Entity, known: pl.Series
) -> CheckedImport:
    """Split rows into usable ones and others with their reason.

    Args:
        source: The file.
        key: Its column of ids.
        column: Its column of texts or vectors.
        kind: Which of the two.
        entity: Whose ids they are.
        known: Ids of the store.

    Raises:
        RowContractError: If a column is absent or of the wrong type.
        InputError: If no row is usable.
    """
    role: Role = "items" if entity == "item" else "users"
    for name in (key, column):
        require_column(source, name, hint="Name the columns with --key and --text or --vector.")
    _require_types(source, key, column, kind)
    dtype = source.rows.schema[column]
    value = values.text(column, dtype) if kind == "text" else _float_list(column, dtype)
    rows = source.rows.select(
        ROW_NUMBER, values.external_id(key, source.rows.schema[key]).alias(c.ID), value.alias(_VALUE)
    )
    checks = {
        "empty_id": pl.col(c.ID).is_null(),
        "unknown_id": ~pl.col(c.ID).is_in(known.implode()),
        **(_text_checks() if kind == "text" else _vector_checks(rows)),
    }
    reason = pl.coalesce([pl.when(broken).then(pl.lit(name)) for name, broken in checks.items()])
    marked = rows.with_columns(reason.alias(c.REASON))
    usable = marked.filter(pl.col(c.REASON).is_null())
    is_first = usable[c.ID].is_first_distinct()
    repeated = usable.filter(~is_first).with_columns(pl.lit("duplicate_id").alias(c.REASON))
    bad = pl.concat([marked.filter(pl.col(c.REASON).is_not_null()), repeated])
    reasons = dict(bad[c.REASON].value_counts(sort=True).iter_rows())
    for line in source.rejected:
        reasons[line.reason] = reasons.get(line.reason, 0) + 1
    if not is_first.any():
        why = ", ".join(f"{name} ({count})" for name, count in reasons.items())
        raise InputError(
            f"none of the {source.num_read} rows of {source.origin} can be imported: {why}.",
            hint=f"The store's {role} have ids such as {known.sort().head(3).to_list()}; is {key!r} that id?",
        )
    good = usable.filter(is_first).select(c.ID, _VALUE).sort(c.ID)
    return CheckedImport(good, reasons, _examples(bad))


def content_digest(rows: pl.DataFrame, kind: ImportKind) -> str:
    """Identity of ids and content, whatever the order of the file."""
    ids = rows[c.ID].to_list()
    if kind == "text":
        return digest([digest_texts(ids), digest_texts(rows[_VALUE].to_list())])
    vectors = matrix(rows)
    return digest([digest_texts(ids), vectors.shape[1], digest_bytes(vectors.tobytes())])


def matrix(rows: pl.DataFrame) -> npt.NDArray[np.float32]:
    """The vectors of checked rows: (n, d) float32."""
    flat = rows[_VALUE].explode().to_numpy().astype("<f4", copy=False)
    return flat.reshape(rows.height, -1)


def to_arrow(rows: pl.DataFrame, kind: ImportKind, *, event_set: str | None, run_id: str) -> pa.Table:
    """Checked rows under `schema.TEXTS` or `schema.vectors`."""
    num = rows.height
    known: dict[str, pa.Array] = {
        c.ID: pa.array(rows[c.ID].to_list(), pa.string()),
        c.EVENT_SET: pa.array([event_set] * num, pa.string()),
        c.RUN_ID: pa.array([run_id] * num, pa.string()),
    }
    if kind == "text":
        texts = rows[_VALUE].to_list()
        target = schema.TEXTS
        known |= {
            c.STATUS: pa.array([c.STATUS_OK] * num),
            c.TEXT: pa.array(texts, pa.string()),
            c.FINGERPRINT: pa.array([digest(text) for text in texts]),
            c.ATTEMPTS: pa.array([0] * num, pa.int16()),
        }
    else:
        vectors = matrix(rows)
        target = schema.vectors(vectors.shape[1])
        known |= {
            c.VECTOR: pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
            c.TEXT_DIGEST: pa.array([digest_bytes(row.tobytes()) for row in vectors]),
        }
    return pa.Table.from_arrays([known.get(f.name, pa.nulls(num, f.type)) for f in target], schema=target)


def _require_types(source: SourceTable, key: str, column: str, kind: ImportKind) -> None:
    schema_of = source.rows.schema
    if not values.is_id_type(schema_of[key]):
        raise RowContractError(
            f"column {key!r} of {source.origin} is {schema_of[key]}; expected text or whole numbers."
        )
    dtype = schema_of[column]
    is_list = isinstance(dtype, pl.List | pl.Array)
    if kind == "vector" and not is_list:
        raise RowContractError(
            f"column {column!r} of {source.origin} is {dtype}; expected lists of numbers.",
            hint="Vectors come from parquet or JSON lines; use --text for texts.",
        )
    if kind == "text" and not isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        raise RowContractError(f"column {column!r} of {source.origin} is {dtype}; expected text.")


def _float_list(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name).arr.to_list() if isinstance(dtype, pl.Array) else pl.col(name)
    return value.list.eval(pl.element().cast(pl.Float32, strict=False))


def _text_checks() -> dict[str, pl.Expr]:
    return {"empty_text": pl.col(_VALUE).is_null()}


def _vector_checks(rows: pl.DataFrame) -> dict[str, pl.Expr]:
    lengths = rows[_VALUE].list.len().drop_nulls()
    first = lengths.filter(lengths > 0).head(1).to_list()
    finite = pl.col(_VALUE).list.eval(pl.element().is_finite().fill_null(value=False)).list.all()
    return {
        "wrong_length": (pl.col(_VALUE).list.len() != (first[0] if first else 1)).fill_null(value=True),
        "not_finite": ~finite,
        "zero_vector": pl.col(_VALUE).list.eval(pl.element() == 0).list.all(),
    }


def _examples(bad: pl.DataFrame) -> dict[str, list[str]]:
    shown = pl.coalesce(pl.col(c.ID), pl.format("row {}", ROW_NUMBER)).head(_EXAMPLES)
    return dict(bad.group_by(c.REASON, maintain_order=True).agg(shown).iter_rows())

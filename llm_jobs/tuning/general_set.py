"""General instructions from a file: what a model could do before, kept by learning it along.

LGHRec (arXiv 2505.12396) mixes them with recommendation chains and names no set. A row has ``instruction``,
``output`` and, if it likes, ``input``; other columns are not read.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from featurestore.errors import InputError
from llm_jobs.engine import Message

_COLUMNS: Final = ("instruction", "input", "output")
_NEEDED: Final = ("instruction", "output")
_SHOWN_ROWS: Final = 5
_FORM: Final = '{"instruction": "...", "input": "...", "output": "..."}, input being optional'


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction and what should be answered.

    Attributes:
        question: Instruction, and below it the input if there is one.
        output: The answer.
    """

    question: str
    output: str

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that the answer ends; it has no system turn of ours."""
        return (Message("user", self.question),)


def read_instructions(path: Path) -> list[Instruction]:
    """Every instruction of a file, equal ones once, in order.

    Args:
        path: ``.jsonl`` or ``.parquet``.

    Raises:
        InputError: If the file is of another kind, cannot be read or holds none; or naming its broken rows.
    """
    match path.suffix:
        case ".jsonl":
            rows = _json_lines(path)
        case ".parquet":
            rows = _parquet(path)
        case other:
            raise InputError(
                f"general instructions are read from .jsonl or .parquet; {path} ends with {other!r}.",
                hint=f"Write one JSON object per line: {_FORM}.",
            )
    found: dict[Instruction, None] = {}
    broken: list[str] = []
    for where, row in rows:
        problem = row if isinstance(row, str) else _problem(row)
        if isinstance(row, str) or problem:
            broken.append(f"  {where}: {problem}")
        else:
            found.setdefault(_instruction(row))
    if broken:
        more = f"\n  and {len(broken) - _SHOWN_ROWS} more" if len(broken) > _SHOWN_ROWS else ""
        raise InputError(
            f"{len(broken)} rows of {path} are no instructions:\n" + "\n".join(broken[:_SHOWN_ROWS]) + more,
            hint=f"Mend or remove them. A row is {_FORM}.",
        )
    if not found:
        raise InputError(f"{path} holds no instructions.", hint=f"A row is {_FORM}.")
    return list(found)


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | str]]:
    """(line, object or what is wrong with it) of each line that is not empty."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield f"line {number}", f"not JSON ({error})"
            continue
        yield f"line {number}", row if isinstance(row, dict) else f"{type(row).__name__}, not an object"


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | str]]:
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {' and no column '.join(missing)}; it has {', '.join(table.columns)}.",
            hint="Rename its columns: instruction, input (optional), output.",
        )
    for number, row in enumerate(table.iter_rows(named=True), start=1):
        yield f"row {number}", row


def _problem(row: Mapping[str, Any]) -> str:
    for name in _NEEDED:
        if name not in row:
            return f"lacks {name!r}"
    for name in _COLUMNS:
        value = row.get(name)
        if value is not None and not isinstance(value, str):
            return f"{name!r} is {type(value).__name__}, not text"
        if name in _NEEDED and not (value and value.strip()):
            return f"{name!r} is empty"
    return ""


def _instruction(row: Mapping[str, Any]) -> Instruction:
    parts = [row["instruction"].strip(), (row.get("input") or "").strip()]
    return Instruction("\n\n".join(part for part in parts if part), row["output"].strip())


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read: {str(error)[:200]}", hint="Check the path given by --general.")

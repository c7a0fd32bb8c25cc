"""Processes that work on a LanceDB store, for tests."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa

ROOT = Path(__file__).parents[1]


NOTES = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string())])


def notes(ids: list[str], note: str = "x") -> pa.Table:
    return pa.table([ids, [note] * len(ids)], schema=NOTES)


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def read_afresh(uri: str, table: str) -> subprocess.CompletedProcess[str]:
    """Read a table in a process that has nothing cached."""
    script = (
        "import sys; from featurestore.stores import connect; print(connect(sys.argv[1]).read(sys.argv[2]))"
    )
    return subprocess.run(
        [sys.executable, "-c", script, uri, table], cwd=ROOT, capture_output=True, text=True, check=False
    )

"""Small tables of ids and notes, for tests of stores."""

import pyarrow as pa

NOTES = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string())])


def notes(**texts: str | None) -> pa.Table:
    return pa.table([list(texts), list(texts.values())], schema=NOTES)


def content(rows: pa.Table) -> dict[str, str | None]:
    pairs = list(zip(rows["id"].to_pylist(), rows["note"].to_pylist(), strict=True))
    assert len(pairs) == len(dict(pairs)), "a key occurs twice"
    return dict(pairs)

"""Arrow schemas of every table in the store: the row contracts.

Source tables keep columns beyond the contract as they came (as strings or lists of strings): a project's own
prompt may read them.
"""

from typing import Final

import pyarrow as pa

from featurestore import columns as c

ITEMS: Final = pa.schema(
    [
        pa.field(c.ITEM_ID, pa.string(), nullable=False),
        pa.field(c.TITLE, pa.string()),
        pa.field(c.BRAND, pa.string()),
        pa.field(c.CATEGORIES, pa.string()),
        pa.field(c.DESCRIPTION, pa.string()),
        pa.field(c.PRICE, pa.float64()),
    ]
)
"""One row per item. ``categories`` is one string, paths joined with `` > `` and several paths with ``; ``."""

USERS: Final = pa.schema([pa.field(c.USER_ID, pa.string(), nullable=False)])
"""One row per user; attributes are extra columns."""

INTERACTIONS: Final = pa.schema(
    [
        pa.field(c.USER_ID, pa.string(), nullable=False),
        pa.field(c.ITEM_ID, pa.string(), nullable=False),
        pa.field(c.RATING, pa.float64()),
        pa.field(c.TIMESTAMP, pa.int64()),
        pa.field(c.POSITION, pa.int64(), nullable=False),
        pa.field(c.REVIEW, pa.string()),
        pa.field(c.PART, pa.string(), nullable=False),
    ]
)
"""One row per event, sorted by user and position.

``timestamp`` is unix seconds, UTC. ``position`` is the event's place in its user's history, 0 = oldest.
``part`` is the split part: train, valid or test.
"""

QUARANTINE: Final = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("row_number", pa.int64(), nullable=False),
        pa.field(c.REASON, pa.string(), nullable=False),
        pa.field(c.RAW, pa.string(), nullable=False),
    ]
)
"""Rows that ingest refused: file, row number in it (from 1), typed reason, the row as JSON (cut at 4 kB)."""

ID_MAP: Final = pa.schema(
    [pa.field(c.ID, pa.string(), nullable=False), pa.field(c.ROW, pa.int64(), nullable=False)]
)
"""External id → row. Rows are 0, 1, 2, … in order of first appearance and never change."""

TEXTS: Final = pa.schema(
    [
        pa.field(c.ID, pa.string(), nullable=False),
        pa.field(c.STATUS, pa.string(), nullable=False),
        pa.field(c.TEXT, pa.string()),
        pa.field(c.ANSWER, pa.string()),
        pa.field(c.FINGERPRINT, pa.string(), nullable=False),
        pa.field(c.REASON, pa.string()),
        pa.field(c.ATTEMPTS, pa.int16(), nullable=False),
        pa.field(c.RAW, pa.string()),
        pa.field(c.REQUEST_KEY, pa.string()),
        pa.field(c.FINISH_REASON, pa.string()),
        pa.field(c.PROMPT_TOKENS, pa.int32()),
        pa.field(c.CACHED_TOKENS, pa.int32()),
        pa.field(c.OUTPUT_TOKENS, pa.int32()),
        pa.field(c.EVENT_SET, pa.string()),
        pa.field(c.EVENTS_DIGEST, pa.string()),
        pa.field(c.ENGINE, pa.string()),
        pa.field(c.FIELD_DIGESTS, pa.string()),
        pa.field(c.FLAGS, pa.list_(pa.string())),
        pa.field(c.RUN_ID, pa.string(), nullable=False),
    ]
)
"""One row per entity of one (feature, view, spec): exactly one outcome, ok or failed.

``text`` is set when ok, ``reason`` and ``raw`` when failed; ``answer`` is the parsed JSON answer, canonical.
``event_set`` names the split part a user's text was built from (``<split digest>:train``).
``field_digests`` holds a short digest of each field read, as JSON: they tell which of them changed.
``flags`` says what a reader of the text should know, as ``kind:what``: ``cut:description:1302>600`` (tokens),
``suspicious:instruction_override`` (the input tries to steer the model).
"""

EDGES: Final = pa.schema(
    [
        pa.field(c.SRC_ID, pa.string(), nullable=False),
        pa.field(c.DST_ID, pa.string(), nullable=False),
        pa.field(c.RANK, pa.int32(), nullable=False),
        pa.field(c.SCORE, pa.float32(), nullable=False),
    ]
)
"""Directed kNN edges: ``dst`` is the ``rank``-th nearest neighbour of ``src``, rank from 0."""

CODES: Final = pa.schema(
    [
        pa.field(c.ID, pa.string(), nullable=False),
        pa.field(c.CODES, pa.list_(pa.int32()), nullable=False),
        pa.field(c.COLLISION, pa.int32(), nullable=False),
        pa.field(c.TEXT_DIGEST, pa.string(), nullable=False),
        pa.field(c.EVENT_SET, pa.string()),
        pa.field(c.RUN_ID, pa.string(), nullable=False),
    ]
)
"""Semantic ids: ``codes`` of one entity, coarse to fine, and ``collision``, the digit that sets entities of
equal codes apart (from 0). ``text_digest`` is that of the vector that was coded, see `vectors`."""

ISSUED_CODES: Final = pa.schema(
    [
        pa.field(c.SEMANTIC_ID, pa.string(), nullable=False),
        pa.field(c.PREFIX, pa.string(), nullable=False),
        pa.field(c.COLLISION, pa.int32(), nullable=False),
        pa.field(c.ID, pa.string()),
    ]
)
"""Every semantic id that one codebook ever gave out, and to whom; rows are only ever added.

``prefix`` is the codes joined with hyphens (``12-200-7``), ``semantic_id`` the same with the collision digit
at its end. ``id`` is null where its entity was forgotten: the semantic id stays taken.
"""

RECOMMENDATIONS: Final = pa.schema(
    [
        pa.field(c.USER_ID, pa.string(), nullable=False),
        pa.field(c.ITEM_ID, pa.string(), nullable=False),
        pa.field(c.RANK, pa.int32(), nullable=False),
        pa.field(c.SCORE, pa.float32(), nullable=False),
    ]
)
"""Top-k lists of a trained model, rank from 0."""


def vectors(embedding_dim: int) -> pa.Schema:
    """Schema of a vector table: float32 fixed-size lists of ``embedding_dim``, one row per entity."""
    return pa.schema(
        [
            pa.field(c.ID, pa.string(), nullable=False),
            pa.field(c.VECTOR, pa.list_(pa.float32(), embedding_dim), nullable=False),
            pa.field(c.TEXT_DIGEST, pa.string(), nullable=False),
            pa.field(c.EVENT_SET, pa.string()),
            pa.field(c.RUN_ID, pa.string(), nullable=False),
        ]
    )


def completed(rows: pa.Table, contract: pa.Schema) -> pa.Table:
    """Rows with the columns of a contract, in its order; those that an older format lacks are null."""
    for field in contract:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(contract.names)

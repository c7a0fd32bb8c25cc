"""Vectors that follow from their texts, and semantic ids of them, for tests."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore import schema
from featurestore.codes.build import CodesReport, build_codes
from featurestore.codes.generations import SemanticIdOptions
from featurestore.features import FeatureRegistry
from featurestore.ids import digest_bytes
from featurestore.spec import EncoderSpec, VectorSpec, table_name
from featurestore.store import Store

ENCODER = EncoderSpec(
    name="hashing", model="hashing", pooling="mean", normalized=True, embedding_dim=4, max_tokens=64
)
OPTIONS = SemanticIdOptions(num_levels=2, codebook_size=4)
ITEMS = {f"i{number:02}": f"A text about {number}." for number in range(40)}


def put_vectors(
    store: Store,
    texts: Mapping[str, str],
    *,
    encoder: EncoderSpec = ENCODER,
    text_digest: str = "0" * 32,
    event_set: str | None = None,
) -> VectorSpec:
    """Vectors drawn by the texts, as the head; equal texts have equal vectors."""
    spec = VectorSpec(feature="sid", view="text", entity="item", text_digest=text_digest, encoder=encoder)
    rows = []
    for item, text in texts.items():
        digest = digest_bytes(text.encode())
        vector = np.random.default_rng(int(digest[:8], 16)).normal(size=encoder.embedding_dim)
        row = {c.ID: item, c.VECTOR: vector, c.TEXT_DIGEST: digest, c.EVENT_SET: event_set, c.RUN_ID: "r"}
        rows.append(row)
    store.replace(table_name(spec), pa.Table.from_pylist(rows, schema=schema.vectors(encoder.embedding_dim)))
    FeatureRegistry(store).register(spec)
    return spec


def build(store: Store, **changes: Any) -> CodesReport:
    return build_codes(store, **({"feature": "sid", "view": "text", "options": OPTIONS} | changes))


def stored(store: Store, report: CodesReport) -> dict[str, tuple[int, ...]]:
    rows = pl.DataFrame(store.read(report.table.table, version=report.table.version))
    assert rows[c.ID].is_unique().all()
    return {row[c.ID]: (*row[c.CODES], row[c.COLLISION]) for row in rows.to_dicts()}

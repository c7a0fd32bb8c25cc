"""Vectors and events of a store from which graphs are built."""

from typing import Any

import polars as pl
import pyarrow as pa

from featurestore import schema
from featurestore.features import FeatureRegistry
from featurestore.graphs import open_builder
from featurestore.graphs.build import GraphReport, build_graph
from featurestore.spec import EncoderSpec, Entity, VectorSpec, table_name
from featurestore.splits import SplitPolicy, assign_parts, record_split
from featurestore.stores.memory import MemoryStore

ENCODER = EncoderSpec(
    name="hashing", model="hashing", pooling="mean", normalized=True, embedding_dim=4, max_tokens=64
)


def put_vectors(
    store: MemoryStore,
    vectors: dict[str, list[float]],
    *,
    entity: Entity = "item",
    event_set: str | None = None,
) -> None:
    spec = VectorSpec(feature="item_text", view="text", entity=entity, text_digest="0" * 32, encoder=ENCODER)
    rows = [
        {"id": i, "vector": v, "text_digest": i, "event_set": event_set, "run_id": "r"}
        for i, v in vectors.items()
    ]
    store.replace(table_name(spec), pa.Table.from_pylist(rows, schema=schema.vectors(4)))
    FeatureRegistry(store).register(spec)


def put_events(store: MemoryStore, events: list[tuple[str, str, str]]) -> None:
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "part"], orient="row")
    parted = assign_parts(frame, SplitPolicy(method="official"))
    full = parted.with_columns(
        rating=pl.lit(None, pl.Float64), timestamp=pl.lit(None, pl.Int64), review=pl.lit(None, pl.String)
    )
    table = full.select(schema.INTERACTIONS.names).to_arrow().cast(schema.INTERACTIONS)
    version = store.replace("source.interactions", table)
    record_split(store, parted, SplitPolicy(method="official"), interactions_version=version.version)


def build(store: MemoryStore, **changes: Any) -> GraphReport:
    options: dict[str, Any] = {
        "feature": "item_text",
        "view": "text",
        "entity_users": "own",
        "num_neighbors": 2,
        "builder": open_builder("faiss_knn"),
    }
    return build_graph(store, **(options | changes))


ITEMS = {"b": [1.0, 0.1, 0, 0], "a": [1.0, 0, 0, 0], "d": [0, 0, 1.0, 0.2], "c": [0, 0, 1.0, 0]}

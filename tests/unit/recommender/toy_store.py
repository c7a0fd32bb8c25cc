"""A small project on disk: even users have even items, odd users odd ones, published as release 1."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from featurestore import schema
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.imports import import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.releases.publish import publish
from featurestore.spec import PlainTextSpec, table_name
from featurestore.splits import SplitPolicy
from featurestore.store import Store

NUM_USERS, NUM_ITEMS = 30, 16
QUICK = {
    "epochs": "30",
    "batch_size": "64",
    "learning_rate": "0.02",
    "embedding_dim": "8",
    "eval_every": "10",
}


def fill(store: Store, folder: Path) -> None:
    """Ingest, import vectors, write one fused text, publish as production."""
    items = pl.DataFrame(
        {"item_id": [f"i{i}" for i in range(NUM_ITEMS)], "title": [f"Item {i}" for i in range(NUM_ITEMS)]}
    )
    items.write_parquet(folder / "items.parquet")
    generator = np.random.default_rng(0)
    events = []
    for user in range(NUM_USERS):
        own = [i for i in range(NUM_ITEMS - 2) if i % 2 == user % 2]
        history = generator.permutation(own)[:5]
        events += [{"user_id": f"u{user}", "item_id": f"i{i}"} for i in [history[0], *history]]
    events += [{"user_id": "newcomer", "item_id": "i14"}]
    pl.DataFrame(events).write_parquet(folder / "events.parquet")
    files = {"items": folder / "items.parquet", "interactions": folder / "events.parquet"}
    ingest(store, IngestRequest(files=files, split=SplitPolicy(method="leave_one_out")))
    add_vectors(store, folder, "item_cot", range(12), encoder="toy")
    add_vectors(store, folder, "item_text", range(15), encoder="toy")
    add_vectors(store, folder, "elsewhere", range(15), encoder="other")
    spec = PlainTextSpec(
        feature="item_cot", view="fused", entity="item", fields=("title",), template_digest="0" * 32
    )
    row = dict.fromkeys(schema.TEXTS.names) | {
        "id": "i2",
        "status": "ok",
        "text": "Sturdy, but loud.",
        "fingerprint": "f",
        "attempts": 1,
        "run_id": "r",
    }
    store.upsert(table_name(spec), pa.Table.from_pylist([row], schema=schema.TEXTS), key="id")
    FeatureRegistry(store).register(spec)
    publish(store, gates=GatePolicy())


def add_vectors(store: Store, folder: Path, feature: str, items: range, *, encoder: str) -> None:
    """Import vectors whose first entry tells even items from odd ones."""
    generator = np.random.default_rng(len(feature))
    rows = [
        {"item": f"i{i}", "v": [float(len(feature)), 1.0 - 2 * (i % 2), *generator.normal(0, 0.3, 4)]}
        for i in items
    ]
    path = folder / f"{feature}.parquet"
    pl.DataFrame(rows).write_parquet(path)
    import_feature(
        store,
        feature=feature,
        table=path,
        key="item",
        vector="v",
        producer="a test",
        entity="item",
        encoder_name=encoder,
    )

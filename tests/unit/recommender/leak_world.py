"""Small stores that leak, or do not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from featurestore import id_maps
from featurestore.gates.policy import GatePolicy
from featurestore.imports import import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.reader import FeatureStore, Release
from featurestore.releases.publish import publish
from featurestore.splits import SplitMethod, SplitPolicy
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore

Event = tuple[str, str, int]
"""User, item, unix seconds."""


def ingested(
    folder: Path, events: Sequence[Event], *, method: SplitMethod = "leave_one_out", parts: Sequence[str] = ()
) -> Store:
    """A store of these events."""
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")
    if parts:
        frame = frame.with_columns(pl.Series("split", parts))
    path = folder / "events.parquet"
    frame.write_parquet(path)
    store = MemoryStore("world")
    ingest(store, IngestRequest(files={"interactions": path}, split=SplitPolicy(method=method)))
    return store


def published(store: Store) -> Release:
    publish(store, gates=GatePolicy())
    return FeatureStore(store).release()


def add_item_vectors(store: Store, folder: Path, feature: str, events: str | None = None) -> None:
    """Import random vectors of all items; ``events`` as `import_feature` has them."""
    ids = id_maps.load(store, "item").ids
    vectors = np.random.default_rng(len(ids)).standard_normal((len(ids), 6))
    path = folder / f"{feature}.parquet"
    pl.DataFrame({"item": ids, "vector": vectors.tolist()}).write_parquet(path)
    import_feature(
        store,
        feature=feature,
        table=path,
        key="item",
        vector="vector",
        producer="a test",
        entity="item",
        events=events,
    )


def with_pins(release: Release, feature: str, **changes: Any) -> Release:
    """The release, had the pins of a feature other fields."""
    pins = [
        pin.model_copy(update=changes) if pin.spec.feature == feature else pin
        for pin in release.manifest.pins
    ]
    return Release(release._store, release.manifest.model_copy(update={"pins": tuple(pins)}))


def random_histories(num_users: int, num_items: int, length: int) -> list[list[int]]:
    """Items of each user in order of time, all different within a user."""
    generator = np.random.default_rng(5)
    return [generator.permutation(num_items)[:length].tolist() for _ in range(num_users)]


def first_seen(histories: Sequence[Sequence[int]]) -> list[int]:
    """Items in the order in which histories, one after another, name them first: P5's numbering."""
    return list(dict.fromkeys(item for history in histories for item in history))


def events_of(histories: Sequence[Sequence[int]], name: str = "item {:03}x") -> list[Event]:
    return [
        (f"u{user:03}", name.format(item), 1000 * user + time)
        for user, history in enumerate(histories)
        for time, item in enumerate(history)
    ]

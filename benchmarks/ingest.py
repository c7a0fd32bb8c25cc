"""Ingest rows per second, against polars reading the same files and writing them back as parquet.

The peer does the least that any ingest must do (read, sort by user and time, write) and checks nothing. Our
side checks every row against the contract, assigns split parts, grows the id maps, writes LanceDB tables and
computes the suitability report. The share says what those guarantees cost.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from common import compare, record

from featurestore.ingest import IngestRequest, ingest
from featurestore.splits import SplitPolicy
from featurestore.stores import connect

NUM_USERS, NUM_ITEMS = 40_000, 20_000


def write_source(folder: Path, num_events: int) -> None:
    """A seeded catalogue and its events, as parquet."""
    generator = np.random.default_rng(0)
    items = np.arange(NUM_ITEMS)
    pl.DataFrame(
        {
            "item_id": [f"B{i:09d}" for i in items],
            "title": [f"Item {i} of the shelf {i % 97}" for i in items],
            "brand": [f"Brand {i % 301}" for i in items],
            "categories": [f"Home > Shelf {i % 97}" for i in items],
        }
    ).write_parquet(folder / "items.parquet")
    popularity = generator.zipf(1.3, num_events) % NUM_ITEMS
    pl.DataFrame(
        {
            "user_id": pl.Series(generator.integers(NUM_USERS, size=num_events)).cast(pl.String),
            "item_id": [f"B{i:09d}" for i in popularity],
            "rating": generator.integers(1, 6, size=num_events),
            "timestamp": 1_600_000_000 + generator.permutation(num_events),
        }
    ).write_parquet(folder / "interactions.parquet")


def run(num_events: int, pairs: int) -> None:
    """Measure and record."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_source(folder, num_events)
        rows = num_events + NUM_ITEMS
        request = IngestRequest(
            files={"items": folder / "items.parquet", "interactions": folder / "interactions.parquet"},
            split=SplitPolicy(method="leave_one_out"),
        )

        def ours() -> float:
            shutil.rmtree(folder / "store", ignore_errors=True)
            start = time.perf_counter()
            ingest(connect(str(folder / "store")), request)
            return rows / (time.perf_counter() - start)

        def theirs() -> float:
            start = time.perf_counter()
            for part, order in [("items", ["item_id"]), ("interactions", ["user_id", "timestamp"])]:
                pl.read_parquet(folder / f"{part}.parquet").sort(order).write_parquet(folder / "copy.parquet")
            return rows / (time.perf_counter() - start)

        claim = compare(
            "ingest into LanceDB",
            peer="polars read, sort and write, no checks",
            unit="rows/s",
            ours=ours,
            theirs=theirs,
            higher_is_better=True,
            pairs=pairs,
        )
    record(
        "ingest",
        f"{NUM_ITEMS:,} items and {num_events:,} events from parquet into an empty store, alternating pairs",
        [claim],
        packages=("polars", "lancedb", "pylance"),
        facts={},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    run(options.events, options.pairs)

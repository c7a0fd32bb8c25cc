"""A release's 100,000 x 384 vectors to torch, against ``numpy.load`` of the same matrix.

Each measurement opens its file anew and then reads every value once (a sum), so that a mapped file cannot win
by not reading. The page cache is warm on both sides.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from common import compare, record

from featurestore.gates.policy import GatePolicy
from featurestore.imports import import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.reader import open_store
from featurestore.releases.publish import publish
from featurestore.stores import connect

EMBEDDING_DIM = 384


def make_release(folder: Path, vectors: np.ndarray) -> str:
    """A store with one published vector feature; returns its uri."""
    ids = [f"B{i:09d}" for i in range(len(vectors))]
    pl.DataFrame({"item_id": ids, "title": ids}).write_parquet(folder / "items.parquet")
    pl.DataFrame({"item_id": ids, "vector": vectors}).write_parquet(folder / "vectors.parquet")
    uri = str(folder / "store")
    store = connect(uri)
    ingest(store, IngestRequest(files={"items": folder / "items.parquet"}))
    import_feature(
        store,
        feature="plain",
        table=folder / "vectors.parquet",
        key="item_id",
        text=None,
        vector="vector",
        producer="seeded normal draws",
        entity="item",
        events=None,
        encoder_name=None,
    )
    publish(store, gates=GatePolicy())
    return uri


def run(num_vectors: int, pairs: int) -> None:
    """Measure and record."""
    vectors = np.random.default_rng(0).standard_normal((num_vectors, EMBEDDING_DIM), dtype=np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = make_release(folder, vectors)
        np.save(folder / "plain.npy", vectors)
        release = open_store(uri).release("production")

        def ours() -> float:
            start = time.perf_counter()
            float(release.embeddings("plain").to_torch().sum())
            return time.perf_counter() - start

        def opening_too() -> float:
            start = time.perf_counter()
            float(open_store(uri).release("production").embeddings("plain").to_torch().sum())
            return time.perf_counter() - start

        def loaded() -> float:
            start = time.perf_counter()
            float(torch.from_numpy(np.load(folder / "plain.npy")).sum())
            return time.perf_counter() - start

        def mapped() -> float:
            start = time.perf_counter()
            matrix = np.load(folder / "plain.npy", mmap_mode="c")
            float(torch.from_numpy(matrix).sum())
            return time.perf_counter() - start

        claims = [
            compare(
                name,
                peer=peer,
                unit="s",
                ours=side,
                theirs=other,
                higher_is_better=False,
                pairs=pairs,
                target=target,
            )
            for name, side, peer, other, target in [
                ("embeddings to torch, summed", ours, "numpy.load, summed", loaded, 0.8),
                ("embeddings to torch, summed", ours, "numpy.load(mmap_mode), summed", mapped, None),
                (
                    "open store, release and embeddings, summed",
                    opening_too,
                    "numpy.load, summed",
                    loaded,
                    None,
                ),
            ]
        ]
    record(
        "release_read",
        f"{num_vectors:,} x {EMBEDDING_DIM} float32 on a local disk, warm page cache, alternating pairs",
        claims,
        packages=("numpy", "torch", "lancedb"),
        facts={},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    run(options.vectors, options.pairs)

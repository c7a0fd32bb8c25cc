"""Texts per second through our encoder and through the whole embed job, against bare sentence-transformers.

The peer is ``SentenceTransformer.encode`` on the same folder, texts and batch size. Our side is the encoder
alone, and then the job: read texts from LanceDB, find the stale ones, encode, commit, register.
"""

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
from common import compare, record

from featurestore.ingest import IngestRequest, ingest
from featurestore.store import Store
from featurestore.stores import connect
from llm_jobs.embed import embed
from llm_jobs.encoders import open_encoder
from llm_jobs.models import find_encoder
from llm_jobs.plain_text import build_plain_texts
from llm_jobs.weights import locate_encoder

ENCODER = "minilm"
BATCH_SIZE = 64


def write_items(path: Path, num_items: int) -> None:
    """Seeded descriptions of 10 to 80 words; no two alike."""
    generator = np.random.default_rng(0)
    words = np.array(
        [f"{a}{b}" for a in ("green", "soft", "north", "river", "stone") for b in ("wood", "light")]
    )
    texts = [" ".join(generator.choice(words, size=generator.integers(10, 80))) for _ in range(num_items)]
    ids = [f"item-{i:05d}" for i in range(num_items)]
    pl.DataFrame({"item_id": ids, "title": ids, "description": texts}).write_parquet(path)


def run(num_items: int, pairs: int) -> None:
    """Measure and record."""
    from sentence_transformers import SentenceTransformer

    entry = find_encoder(ENCODER, {})
    peer = SentenceTransformer(str(locate_encoder(entry).folder), device="cpu")
    with tempfile.TemporaryDirectory() as name, closing(open_encoder(entry, batch_size=BATCH_SIZE)) as ours:
        folder = Path(name)
        write_items(folder / "items.parquet", num_items)
        runs = iter(range(1_000))

        def new_store() -> tuple[Store, list[str]]:
            store = connect(str(folder / f"store-{next(runs)}"))
            ingest(store, IngestRequest(files={"items": folder / "items.parquet"}))
            version = build_plain_texts(store)
            return store, store.read(version.table, columns=["text"])["text"].to_pylist()

        _, texts = new_store()

        def encoder_rate() -> float:
            start = time.perf_counter()
            ours.encode(texts)
            return num_items / (time.perf_counter() - start)

        def job_rate() -> float:
            store, _ = new_store()
            start = time.perf_counter()
            embed(store, feature="item_text", view="text", encoder=ours)
            return num_items / (time.perf_counter() - start)

        def peer_rate() -> float:
            start = time.perf_counter()
            peer.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False, normalize_embeddings=True)
            return num_items / (time.perf_counter() - start)

        claims = [
            compare(
                label,
                peer="SentenceTransformer.encode",
                unit="texts/s",
                ours=side,
                theirs=peer_rate,
                higher_is_better=True,
                pairs=pairs,
                target=0.95,
            )
            for label, side in [("encoder alone", encoder_rate), ("embed job into LanceDB", job_rate)]
        ]
    record(
        "encode",
        f"{num_items} texts of 10 to 80 words, all-MiniLM-L6-v2, float32, batch {BATCH_SIZE}; alternating",
        claims,
        packages=("sentence-transformers", "torch", "lancedb"),
        facts={},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    run(options.items, options.pairs)

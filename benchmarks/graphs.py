"""kNN graphs: the share of this machine's matrix product rate that a whole build reaches, and its peers.

The whole build reads vectors from LanceDB, searches, measures recall against the oracle on 256 nodes, counts
degrees, and writes edges and candidates. Its rate is the work of its products, as done, over its seconds. The
peers search the same vectors in memory, and so does our builder beside them.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from common import Claim, compare, record
from threadpoolctl import threadpool_info

from featurestore import schema
from featurestore.features import FeatureRegistry
from featurestore.graph import NeighborLists
from featurestore.graphs.blocked import BlockedGraphBuilder
from featurestore.graphs.build import build_graph
from featurestore.graphs.cost_model import recall
from featurestore.spec import EncoderSpec, VectorSpec, table_name
from featurestore.stores import connect
from llm_jobs.encoders.hashing import HashingEncoder

DIM, NUM_NEIGHBORS = 384, 50
ENCODER = EncoderSpec(
    name="hashing", model="hashing", pooling="hashing", normalized=True, embedding_dim=DIM, max_tokens=512
)
SPEC = VectorSpec(feature="item_text", view="text", entity="item", text_digest="0" * 32, encoder=ENCODER)
ITEMS_OF_A_USER = 9
PEERS = ("scikit-learn brute", "FAISS flat", "FAISS HNSW", "nn-descent")


def make_vectors(kind: str, count: int, data: Path) -> np.ndarray:
    """(count, 384) float32.

    ``random``: without any structure. ``twins``: ten copies of each of count / 10 random rows. ``texts``:
    means of the vectors of nine items each, which are hashed titles and brands of Amazon Beauty and
    Toys.
    """
    generator = np.random.default_rng(0)
    if kind == "random":
        return generator.normal(size=(count, DIM)).astype(np.float32)
    if kind == "twins":
        return generator.normal(size=(count // 10, DIM)).astype(np.float32)[np.arange(count) % (count // 10)]
    files = [data / name / "items.parquet" for name in ("amazon14-beauty", "amazon14-toys")]
    words = pl.concat_str("title", "brand", separator=" ", ignore_nulls=True)
    texts = pl.concat([pl.read_parquet(file).select(words) for file in files]).to_series().to_list()
    items = HashingEncoder(ENCODER).encode(texts)
    chosen = generator.integers(len(items), size=(count, ITEMS_OF_A_USER))
    return np.stack([items[each].mean(axis=0) for each in chosen]).astype(np.float32)


def write_vectors(folder: Path, vectors: np.ndarray) -> None:
    store = connect(str(folder))
    ids = [f"n{row:07d}" for row in range(len(vectors))]
    columns = [
        pa.array(ids),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM),
        pa.array(ids),
        pa.nulls(len(ids), pa.string()),
        pa.array(["benchmark"] * len(ids)),
    ]
    store.replace(table_name(SPEC), pa.Table.from_arrays(columns, schema=schema.vectors(DIM)))
    FeatureRegistry(store).register(SPEC)


def whole_build(folder: Path) -> float:
    """GFLOP/s of products, over all the seconds of a build from nothing."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        copy = shutil.copytree(folder, Path(name) / "store")
        started = time.perf_counter()
        report = build_graph(
            connect(str(copy)),
            feature=SPEC.feature,
            view=SPEC.view,
            entity_users="own",
            num_neighbors=NUM_NEIGHBORS,
            builder=BlockedGraphBuilder(),
        )
        seconds = time.perf_counter() - started
    assert report.quality.recall == 1.0
    assert report.work is not None
    return report.work.gemm_flops / seconds / 1e9


def product_rate() -> float:
    """GFLOP/s of one large float32 product of rows of the same width."""
    rows = np.random.default_rng(0).normal(size=(8_192, DIM)).astype(np.float32)
    others, out = rows[::-1].copy(), np.ones((len(rows), len(rows)), np.float32)  # its pages are there
    started = time.perf_counter()
    np.matmul(rows, others.T, out=out)
    return 2 * DIM * len(rows) ** 2 / (time.perf_counter() - started) / 1e9


def peers(vectors: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Name → a search that gives (n, k + 1) rows, the node itself among them or not."""
    import faiss
    from pynndescent import NNDescent
    from sklearn.neighbors import NearestNeighbors

    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def flat() -> np.ndarray:
        index = faiss.IndexFlatIP(DIM)
        index.add(unit)
        return index.search(unit, NUM_NEIGHBORS + 1)[1]

    def hnsw() -> np.ndarray:
        index = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 128
        index.add(unit)
        return index.search(unit, NUM_NEIGHBORS + 1)[1]

    def brute() -> np.ndarray:
        search = NearestNeighbors(
            n_neighbors=NUM_NEIGHBORS + 1, algorithm="brute", metric="cosine", n_jobs=-1
        )
        return search.fit(vectors).kneighbors(vectors, return_distance=False)

    def descent() -> np.ndarray:
        found = NNDescent(vectors, metric="cosine", n_neighbors=NUM_NEIGHBORS + 1, random_state=0)
        assert found.neighbor_graph is not None
        return found.neighbor_graph[0]

    return dict(zip(PEERS, (brute, flat, hnsw, descent), strict=True))


def recall_of(rows: np.ndarray, truth: NeighborLists) -> float:
    """The node itself does not count as found."""
    others = np.where(rows == np.arange(len(rows))[:, None], -1, rows).astype(np.int64)
    return recall(NeighborLists(others, np.zeros(others.shape, np.float32)), truth)


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def update_seconds(vectors: np.ndarray, shares: tuple[float, ...]) -> dict[str, str]:
    """Seconds and products of bringing a graph up to date, beside those of a build."""
    builder, generator = BlockedGraphBuilder(), np.random.default_rng(1)
    ids = np.array([f"n{row:07d}" for row in range(len(vectors))], dtype=np.object_)
    started = time.perf_counter()
    known, _ = builder.update(ids, vectors, NUM_NEIGHBORS, known=None)
    built = time.perf_counter() - started
    facts = {}
    for share in shares:
        moved = vectors.copy()
        rows = generator.choice(len(vectors), round(share * len(vectors)), replace=False)
        moved[rows] += 0.1 * np.abs(moved).mean() * generator.normal(size=(len(rows), DIM)).astype(np.float32)
        started = time.perf_counter()
        _, work = builder.update(ids, moved, NUM_NEIGHBORS, known=known)
        seconds = time.perf_counter() - started
        facts[f"update, {share:.0%} moved"] = (
            f"{seconds / built:.3f} of the seconds and {work.gemm_flops / work.full_gemm_flops:.3f} of the "
            f"products of a build, {work.num_recomputed} other lists searched anew"
        )
    return facts


def peak_memory(count: int) -> str:
    """Of a child process that builds a graph of so many random vectors; vectors included."""
    code = f"import graphs; graphs.build_alone({count})"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    before, after = (int(word) / 2**20 for word in done.stdout.split())
    return f"{after:.2f} GiB, of which {before:.2f} GiB are the interpreter and the vectors"


def build_alone(count: int) -> None:
    vectors = np.random.default_rng(0).random((count, DIM), dtype=np.float32) - np.float32(0.5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    BlockedGraphBuilder().build(vectors, NUM_NEIGHBORS)
    print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def run_memory(count: int) -> None:
    """Measure the memory of a build, and record it: a claim about bytes, which load does not change."""
    record(
        f"graphs_memory_{count}",
        f"a child process that builds a graph of {count:,} x {DIM} random vectors, k = {NUM_NEIGHBORS}",
        [],
        packages=("numpy",),
        facts={f"peak memory at {count:,} x {DIM}": peak_memory(count)},
    )


def run(kind: str, count: int, pairs: int, data: Path, only: list[str]) -> None:
    """Measure and record.

    Args:
        kind: Of vectors.
        count: How many.
        pairs: How often the two sides of a claim are measured.
        data: Folder of evaluation data.
        only: Peers in memory; none: all of them, and updates too.
    """
    vectors = make_vectors(kind, count, data)
    builder = BlockedGraphBuilder()
    truth = builder.build(vectors, NUM_NEIGHBORS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        write_vectors(folder, vectors)
        claims: list[Claim] = [
            compare(
                "whole build with writing",
                peer="one float32 product",
                unit="GFLOP/s",
                ours=lambda: whole_build(folder),
                theirs=product_rate,
                higher_is_better=True,
                pairs=pairs,
                target=0.9,
            )
        ]
    facts: dict[str, str] = {}
    for label, search in peers(vectors).items():
        if only and label not in only:
            continue
        found: list[np.ndarray] = []
        claims.append(
            compare(
                "search in memory",
                peer=label,
                unit="s",
                ours=lambda: seconds_of(lambda: builder.build(vectors, NUM_NEIGHBORS)),
                theirs=lambda search=search, found=found: seconds_of(lambda: found.append(search())),
                higher_is_better=False,
                pairs=pairs,
            )
        )
        facts[f"recall of {label}"] = f"{recall_of(found[-1], truth):.4f}"
    facts["threads"] = ", ".join(sorted({f"{p['user_api']} {p['num_threads']}" for p in threadpool_info()}))
    if not only:
        facts |= update_seconds(vectors, (0.01, 0.1, 0.3))
    record(
        f"graphs_{kind}_{count}",
        f"{count:,} x {DIM} {kind} vectors, k = {NUM_NEIGHBORS}, exact search; alternating",
        claims,
        packages=("numpy", "faiss-cpu", "scikit-learn", "pynndescent", "lancedb"),
        facts=facts,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("texts", "random", "twins"), default="random")
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="evaluation data")
    parser.add_argument("--memory-nodes", type=int, default=0, help="measure the memory of so many instead")
    parser.add_argument(
        "--peer", action="append", default=[], choices=PEERS, help="of those in memory; may be repeated"
    )
    options = parser.parse_args()
    if options.memory_nodes:
        run_memory(options.memory_nodes)
    else:
        run(options.kind, options.nodes, options.pairs, options.data, options.peer)

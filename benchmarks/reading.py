"""Reading, publishing and changing vectors, against plain Parquet with polars and raw pylance in one run.

* open: from an address to the number of vectors of the release in production
* 1,024 ids to a matrix, from an open release (Parquet has none: its file is scanned each time); ids are drawn
  anew for every measurement
* the whole matrix to torch, summed so that a mapped file cannot win by not reading, also against numpy.load
* 10,000 changed rows merged; such a merge published; a rollback
* bytes on the disk against those of the float32 numbers

The page cache is warm on all sides. What the stores do is in `reading_stores`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from common import Claim, compare, record, seconds
from reading_stores import ParquetPolars, Product, RawLance, VectorStore

MapMode: TypeAlias = Literal["c"] | None
EMBEDDING_DIM = 384
LOOKUP = 1_024
CHANGED_ROWS = 10_000
TARGET_SHARE = 0.8
"""Of ``numpy.load``'s speed."""


class Drawn:
    """Seeded vectors, ids to look up, changes."""

    def __init__(self, num_vectors: int) -> None:
        self._rng = np.random.default_rng(0)
        self.num_vectors = num_vectors
        # Vectors of texts share a direction; without one the gates on drift would refuse every change.
        self.matrix = 1.0 + self._noise(num_vectors)  # (n, d)

    def rows(self) -> pa.Table:
        """All vectors."""
        return _table(np.arange(self.num_vectors), self.matrix)

    def ids(self) -> list[str]:
        """Ids to look up, some of them twice."""
        return [_name(row) for row in self._rng.integers(self.num_vectors, size=LOOKUP)]

    def changed(self) -> pa.Table:
        """Vectors that moved a little: those of 10,000 ids, or of a tenth if there are fewer than 100,000."""
        count = min(CHANGED_ROWS, self.num_vectors // 10)
        rows = self._rng.choice(self.num_vectors, count, replace=False)
        return _table(rows, self.matrix[rows] + np.float32(0.1) * self._noise(count))

    def _noise(self, count: int) -> np.ndarray:
        return self._rng.standard_normal((count, EMBEDDING_DIM), dtype=np.float32)


def _name(row: int) -> str:
    return f"B{row:09d}"


def _table(rows: np.ndarray, vectors: np.ndarray) -> pa.Table:
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), EMBEDDING_DIM)
    return pa.table({"id": pa.array([_name(row) for row in rows.tolist()]), "vector": values})


def measurements(drawn: Drawn) -> dict[str, Callable[[VectorStore], float]]:
    """What is measured of every store: name → seconds of one go."""

    def looked_up(store: VectorStore) -> float:
        ids = drawn.ids()
        return seconds(lambda: store.rows(ids))

    def merged(store: VectorStore) -> float:
        rows = drawn.changed()
        return seconds(lambda: store.merge(rows))

    def published(store: VectorStore) -> float:
        store.merge(drawn.changed())
        return seconds(store.publish)

    return {
        "open a release": lambda store: seconds(store.open),
        f"{LOOKUP:,} ids to a matrix": looked_up,
        "all vectors to torch, summed": lambda store: seconds(store.total),
        "merge of changed rows": merged,
        "publish after such a merge": published,
        "rollback": lambda store: seconds(store.roll_back),
    }


def check(stores: list[VectorStore], drawn: Drawn) -> None:
    """All stores give the same vectors, or no ratio means anything."""
    ids = drawn.ids()
    expected = drawn.matrix[[int(each[1:]) for each in ids]]
    for store in stores:
        np.testing.assert_array_equal(store.rows(ids), expected, err_msg=store.name)
        assert store.open() == drawn.num_vectors, store.name


def against_numpy(product: Product, drawn: Drawn, folder: Path, pairs: int) -> list[Claim]:
    """The whole matrix to torch, against ``numpy.load`` with and without a map."""
    np.save(folder / "plain.npy", drawn.matrix)

    def loaded(mode: MapMode) -> Callable[[], float]:
        def once() -> float:
            return seconds(
                lambda: torch.from_numpy(np.load(folder / "plain.npy", mmap_mode=mode)).sum().item()
            )

        return once

    peers: list[tuple[str, MapMode, float | None]] = [
        ("numpy.load", None, TARGET_SHARE),
        ("numpy.load(mmap_mode)", "c", None),
    ]
    return [
        compare(
            "all vectors to torch, summed",
            peer=peer,
            unit="s",
            ours=lambda: seconds(product.total),
            theirs=loaded(mode),
            higher_is_better=False,
            pairs=pairs,
            target=target,
        )
        for peer, mode, target in peers
    ]


def sizes(stores: list[VectorStore], raw: int) -> list[Claim]:
    """Bytes on the disk: the product against each peer, and against the numbers alone."""
    ours = stores[0].num_bytes()
    peers = {"raw float32 bytes": raw, **{peer.name: peer.num_bytes() for peer in stores[1:]}}
    return [
        Claim(
            "size of a store with one release",
            name,
            "bytes",
            ours,
            theirs,
            theirs / ours,
            (theirs / ours,),
            None,
        )
        for name, theirs in peers.items()
    ]


def run(num_vectors: int, pairs: int) -> None:
    """Measure and record."""
    drawn = Drawn(num_vectors)
    with tempfile.TemporaryDirectory() as name:
        folder, rows = Path(name), drawn.rows()
        product = Product(folder / "product", rows)
        peers = [ParquetPolars(folder / "parquet", rows), RawLance(folder / "lance", rows)]
        stores: list[VectorStore] = [product, *peers]
        check(stores, drawn)
        claims = sizes(stores, drawn.matrix.nbytes)
        claims += against_numpy(product, drawn, folder, pairs)
        for title, measure in measurements(drawn).items():
            claims += [
                compare(
                    title,
                    peer=peer.name,
                    unit="s",
                    ours=lambda measure=measure: measure(product),
                    theirs=lambda measure=measure, peer=peer: measure(peer),
                    higher_is_better=False,
                    pairs=pairs,
                )
                for peer in peers
            ]
        grown = {store.name: store.num_bytes() for store in stores}
    record(
        "reading",
        f"{num_vectors:,} x {EMBEDDING_DIM} float32 on a local disk, warm page cache, alternating pairs; "
        "the peers check and protect nothing",
        claims,
        packages=("numpy", "polars", "pyarrow", "pylance", "lancedb", "torch"),
        facts={
            "torch threads": torch.get_num_threads(),
            "rows changed": len(drawn.changed()),
            "bytes after all merges and publishes": grown,
            "median share of numpy.load's speed": round(statistics.median(claims[3].ratios), 3),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    run(options.vectors, options.pairs)

"""The three stores that `reading` compares: this product, plain Parquet with polars, and raw pylance.

The peers do what a careful person would write in an afternoon: one file or dataset version per release, and
a pointer to that in production which is replaced at once. They check nothing, lock nothing and keep no
history of the alias: the ratios say what the product asks for doing so.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from featurestore.gates.policy import GatePolicy
from featurestore.imports import import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.reader import Embeddings, open_store
from featurestore.releases.promote import rollback
from featurestore.releases.publish import publish
from featurestore.stores import connect

if TYPE_CHECKING:
    import lance

FEATURE = "plain"


class VectorStore(Protocol):
    """Vectors by id, in releases."""

    name: str

    def open(self) -> int:
        """From the address to the number of vectors of the release in production."""
        ...

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """(m, d) vectors of ids in request order, from a release that is open."""
        ...

    def total(self) -> float:
        """From the address to the sum of all vectors as one torch tensor, so that every value is read."""
        ...

    def merge(self, changed: pa.Table) -> None:
        """Replace the vectors of ids: columns ``id`` and ``vector``."""
        ...

    def publish(self) -> None:
        """Make what is stored now the release in production."""
        ...

    def roll_back(self) -> None:
        """Put the release before it, or after it, into production."""
        ...

    def num_bytes(self) -> int:
        """What lies on the disk."""
        ...


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def tensor_of(array: np.ndarray) -> torch.Tensor:
    """A tensor over the same memory, though it must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def replace_pointer(folder: Path, target: str) -> None:
    """Let ``production`` name another release, at once and durably."""
    partial = folder / ".production"
    with partial.open("w", encoding="utf-8") as file:
        file.write(target)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / "production")


class Product:
    """A release of a store in a folder."""

    name = "featurestore"

    def __init__(self, folder: Path, rows: pa.Table) -> None:
        folder.mkdir()
        self._folder, self._uri = folder, str(folder / "store")
        items, vectors = folder / "items.parquet", folder / "vectors.parquet"
        frame = pl.DataFrame(rows).rename({"id": "item_id"})
        frame.select("item_id", pl.col("item_id").alias("title")).write_parquet(items)
        frame.write_parquet(vectors)
        self._store = connect(self._uri)
        ingest(self._store, IngestRequest(files={"items": items}))
        imported = import_feature(
            self._store,
            feature=FEATURE,
            table=vectors,
            key="item_id",
            vector="vector",
            producer="seeded normal draws",
            entity="item",
        )
        self._table = imported.table
        items.unlink()
        vectors.unlink()
        self._filled = self._store.read(self._table).slice(0, 1)
        self.publish()
        self._opened = self._vectors()

    def _vectors(self) -> Embeddings:
        return open_store(self._uri).release("production").embeddings(FEATURE)

    def open(self) -> int:
        """See `VectorStore.open`."""
        return len(self._vectors())

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """See `VectorStore.rows`."""
        return self._opened.rows(ids)

    def total(self) -> float:
        """See `VectorStore.total`."""
        return float(self._vectors().to_torch().sum())

    def merge(self, changed: pa.Table) -> None:
        """See `VectorStore.merge`."""
        alike = self._filled.drop_columns(["id", "vector"]).take([0] * len(changed))
        rows = pa.table([changed["id"], changed["vector"], *alike.columns], schema=self._filled.schema)
        self._store.upsert(self._table, rows, key="id")

    def publish(self) -> None:
        """See `VectorStore.publish`."""
        publish(self._store, gates=GatePolicy())

    def roll_back(self) -> None:
        """See `VectorStore.roll_back`."""
        reader = open_store(self._uri)
        newest = reader.releases()[-1]
        rollback(self._store, to=newest - 1 if reader.aliases()["production"] == newest else newest)

    def num_bytes(self) -> int:
        """See `VectorStore.num_bytes`."""
        return size_of(self._folder)


class ParquetPolars:
    """One Parquet file per release."""

    name = "Parquet and polars"

    def __init__(self, folder: Path, rows: pa.Table) -> None:
        folder.mkdir()
        self._folder, self._number = folder, 0
        pl.DataFrame(rows).write_parquet(folder / "working.parquet")
        self.publish()

    def _file(self) -> Path:
        return self._folder / (self._folder / "production").read_text(encoding="utf-8")

    def open(self) -> int:
        """See `VectorStore.open`."""
        return pl.scan_parquet(self._file()).select(pl.len()).collect().item()

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """See `VectorStore.rows`."""
        stored = pl.scan_parquet(self._file()).filter(pl.col("id").is_in(ids))
        wanted = pl.LazyFrame({"id": ids})
        found = wanted.join(stored, on="id", how="left", maintain_order="left")
        return found.select("vector").collect()["vector"].to_numpy()

    def total(self) -> float:
        """See `VectorStore.total`."""
        return float(tensor_of(pl.read_parquet(self._file())["vector"].to_numpy()).sum())

    def merge(self, changed: pa.Table) -> None:
        """See `VectorStore.merge`."""
        new = pl.DataFrame(changed)
        kept = pl.read_parquet(self._file()).join(new, on="id", how="anti")
        pl.concat([kept, new]).write_parquet(self._folder / "working.parquet")

    def publish(self) -> None:
        """See `VectorStore.publish`."""
        self._number += 1
        name = f"{self._number:06d}.parquet"
        (self._folder / "working.parquet").rename(self._folder / name)
        replace_pointer(self._folder, name)

    def roll_back(self) -> None:
        """See `VectorStore.roll_back`."""
        newest = f"{self._number:06d}.parquet"
        earlier = f"{self._number - 1:06d}.parquet"
        replace_pointer(self._folder, earlier if self._file().name == newest else newest)

    def num_bytes(self) -> int:
        """See `VectorStore.num_bytes`."""
        return size_of(self._folder)


class RawLance:
    """One Lance dataset with a scalar index on its ids; a release is a tagged version."""

    name = "raw pylance"

    def __init__(self, folder: Path, rows: pa.Table) -> None:
        import lance

        self._lance, self._folder = lance, folder
        self._dataset = lance.write_dataset(rows, folder)
        self._dataset.create_scalar_index("id", "BTREE")
        self._versions: list[int] = []
        self.publish()

    def _production(self) -> "lance.LanceDataset":
        return self._lance.dataset(self._folder, version="production")

    def open(self) -> int:
        """See `VectorStore.open`."""
        return self._production().count_rows()

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """See `VectorStore.rows`."""
        quoted = ",".join(f"'{each}'" for each in ids)
        found = pl.DataFrame(self._dataset.to_table(columns=["id", "vector"], filter=f"id IN ({quoted})"))
        return (
            pl.DataFrame({"id": ids})
            .join(found, on="id", how="left", maintain_order="left")["vector"]
            .to_numpy()
        )

    def total(self) -> float:
        """See `VectorStore.total`."""
        column = self._production().to_table(columns=["vector"])["vector"].combine_chunks()
        return float(tensor_of(column.flatten().to_numpy()).sum())

    def merge(self, changed: pa.Table) -> None:
        """See `VectorStore.merge`."""
        merge = self._dataset.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(changed)
        self._dataset.checkout_latest()

    def publish(self) -> None:
        """See `VectorStore.publish`."""
        self._versions.append(self._dataset.version)
        self._dataset.tags.create(f"release-{len(self._versions)}", self._dataset.version)
        self._point(self._dataset.version)

    def _point(self, version: int) -> None:
        tags = self._dataset.tags
        (tags.update if "production" in tags.list() else tags.create)("production", version)

    def roll_back(self) -> None:
        """See `VectorStore.roll_back`."""
        current = self._dataset.tags.list()["production"]["version"]
        self._point(self._versions[-2] if current == self._versions[-1] else self._versions[-1])

    def num_bytes(self) -> int:
        """See `VectorStore.num_bytes`."""
        return size_of(self._folder)

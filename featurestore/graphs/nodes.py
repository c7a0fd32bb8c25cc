"""The nodes of a graph: entities with a vector each, in ascending id order."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import InputError, StoreError
from featurestore.splits import current_split
from featurestore.store import Store

_USERS_PER_CHUNK = 4096
_SMALLEST_NORM = 1e-12
_INTERACTIONS = "source.interactions"


@dataclass(frozen=True, slots=True)
class Nodes:
    """What a graph is built over.

    Attributes:
        ids: (n,) external ids, ascending.
        vectors: (n, d) float32.
        event_set: All event sets that the vectors read, joined with commas; None if they read none.
        num_without_vector: Entities that could not be placed.
    """

    ids: npt.NDArray[np.object_]
    vectors: npt.NDArray[np.float32]
    event_set: str | None
    num_without_vector: int


def own_nodes(store: Store, table: str) -> Nodes:
    """The entities of a vector table, each with its own vector."""
    rows = store.read(table, columns=[c.ID, c.VECTOR, c.EVENT_SET])
    ids, vectors = _sorted_vectors(rows)
    return Nodes(ids, vectors, _event_sets(rows), 0)


def users_by_mean_of_items(store: Store, table: str) -> Nodes:
    """Users, each as the mean of the vectors of the distinct items among their training events.

    Users none of whose training items has a vector are left out and counted, as are those whose item vectors
    cancel out. Reads training events only; what the item vectors themselves read is named beside them.

    Raises:
        StoreError: If the store has no interactions with a split.
    """
    split = current_split(store)
    if split is None:
        raise StoreError("the store holds no split of interactions.", hint="Run `featurestore ingest` first.")
    items = store.read(table, columns=[c.ID, c.VECTOR, c.EVENT_SET])
    item_ids, item_vectors = _sorted_vectors(items)
    event_set = _event_sets(items, split.event_set(c.TRAIN))
    events = pl.DataFrame(
        store.read(_INTERACTIONS, version=split.interactions_version, columns=[c.USER_ID, c.ITEM_ID, c.PART])
    )
    num_users = events[c.USER_ID].n_unique()
    item_rows = pl.DataFrame({c.ITEM_ID: item_ids.tolist(), c.ROW: np.arange(len(item_ids))})
    pairs = (
        events.filter(pl.col(c.PART) == c.TRAIN)
        .select(c.USER_ID, c.ITEM_ID)
        .unique()
        .join(item_rows, on=c.ITEM_ID)
        .sort(c.USER_ID, c.ROW)
    )
    if pairs.is_empty():
        return Nodes(np.empty(0, np.object_), item_vectors[:0], event_set, num_users)
    user_ids, counts = _runs(pairs[c.USER_ID])
    means = _means(item_vectors, pairs[c.ROW].to_numpy(), counts)
    placed = np.linalg.norm(means, axis=1) > _SMALLEST_NORM
    return Nodes(user_ids[placed], means[placed], event_set, num_users - int(placed.sum()))


def _event_sets(rows: pa.Table, *own: str) -> str | None:
    """The event sets that vectors name, and ``own``: sorted, joined with commas."""
    return ",".join(sorted({*own, *(name for name in rows[c.EVENT_SET].to_pylist() if name)})) or None


def _runs(sorted_ids: pl.Series) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    runs = sorted_ids.rle().struct.unnest()
    return runs["value"].to_numpy().astype(np.object_), runs["len"].to_numpy().astype(np.int64)


def _means(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Means of consecutive runs of rows, added in float64 in row order, a few thousand runs at a time.

    Args:
        vectors: (n, d) float32.
        rows: (m,) rows of ``vectors``, run after run.
        counts: (r,) lengths of the runs, each ≥ 1.

    Returns:
        (r, d) float32.
    """
    ends = np.cumsum(counts)
    means = np.empty((len(counts), vectors.shape[1]), np.float32)
    for start in range(0, len(counts), _USERS_PER_CHUNK):
        chunk = slice(start, start + _USERS_PER_CHUNK)
        first = int(ends[start] - counts[start])
        gathered = vectors[rows[first : int(ends[chunk][-1])]]  # (rows of the chunk, d)
        offsets = ends[chunk] - counts[chunk] - first
        sums = np.add.reduceat(gathered, offsets, axis=0, dtype=np.float64)
        means[chunk] = sums / counts[chunk][:, None]
    return means


def _sorted_vectors(rows: pa.Table) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float32]]:
    """Ids in ascending order and their (n, d) float32 vectors, without a Python loop over the values."""
    column = rows[c.VECTOR].combine_chunks()
    if not isinstance(column, pa.FixedSizeListArray):
        raise InputError(f"column {c.VECTOR!r} must hold fixed-size lists, found {rows[c.VECTOR].type}.")
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    ids = pl.Series(rows[c.ID].combine_chunks())
    order = ids.arg_sort().to_numpy()
    return ids.to_numpy().astype(np.object_)[order], values.reshape(rows.num_rows, -1)[order]

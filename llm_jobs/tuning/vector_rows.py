"""Writing what a tuned encoder makes: only texts without a current vector are encoded, equal ones once."""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore import schema
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import new_run_id
from featurestore.progress import Progress
from featurestore.spec import VectorSpec, table_name
from featurestore.store import Store
from llm_jobs.encoder import TextEncoder

_ROWS_PER_COMMIT = 2_048
_MARKS = [c.ID, c.TEXT_DIGEST, c.EVENT_SET]


def write_vectors(
    store: Store,
    spec: VectorSpec,
    rows: pl.DataFrame,
    encoder: TextEncoder,
    *,
    event_set: str | None,
    progress: Progress,
) -> int:
    """Make the spec's table hold one vector per text, and the spec the head of its feature view.

    Rows are committed batch by batch: a job that was stopped goes on where it stopped.

    Args:
        store: Where to.
        spec: Of the vectors.
        rows: ``id``, ``text`` and ``text_digest`` of every text.
        encoder: Makes them.
        event_set: What every row has read, by its text or by the weights that encode it.
        progress: Told about rows written.

    Returns:
        Rows that were written.

    Raises:
        LockHeldError: If another job writes these vectors.
        StorageFullError: If there is no room; what was committed stays.
    """
    table, run_id = table_name(spec), new_run_id()
    wanted = rows.with_columns(pl.lit(event_set, pl.String).alias(c.EVENT_SET))
    with FeatureLock(store.objects, table) as lock:
        stored = _stored_marks(store, table)
        stale = wanted.join(stored, on=_MARKS, how="anti", nulls_equal=True).sort(c.TEXT_DIGEST, c.ID)
        for start in range(0, stale.height, _ROWS_PER_COMMIT):
            batch = stale.slice(start, _ROWS_PER_COMMIT)
            vectors = _encode(batch, encoder)
            lock.check()
            store.upsert(table, _to_arrow(batch, vectors, run_id), key=c.ID)
            progress(start + batch.height, stale.height)
        gone = stored.join(wanted, on=c.ID, how="anti")[c.ID].sort().to_list()
        lock.check()
        if gone:
            store.delete(table, gone, key=c.ID)
        FeatureRegistry(store).register(spec)
    return stale.height


def _encode(rows: pl.DataFrame, encoder: TextEncoder) -> npt.NDArray[np.float32]:
    """(n, d) float32, in the order of the rows."""
    unique = rows.unique(c.TEXT_DIGEST, maintain_order=True)
    position = unique.select(c.TEXT_DIGEST).with_row_index("position")
    take = rows.join(position, on=c.TEXT_DIGEST, how="left", maintain_order="left")["position"].to_numpy()
    return encoder.encode(unique[c.TEXT].to_list())[take]


def _to_arrow(rows: pl.DataFrame, vectors: npt.NDArray[np.float32], run_id: str) -> pa.Table:
    width = vectors.shape[1]
    columns: list[pa.Array] = [
        pa.array(rows[c.ID].to_list(), pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), width),
        pa.array(rows[c.TEXT_DIGEST].to_list(), pa.string()),
        pa.array(rows[c.EVENT_SET].to_list(), pa.string()),
        pa.array([run_id] * rows.height, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema.vectors(width))


def _stored_marks(store: Store, table: str) -> pl.DataFrame:
    if store.latest(table) is None:
        return pl.DataFrame(schema=dict.fromkeys(_MARKS, pl.String))
    return pl.DataFrame(store.read(table, columns=_MARKS))

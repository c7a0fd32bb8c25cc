"""Vector snapshots: what readers map into memory instead of reading tables.

``snapshots/<checksum>/vectors.npy`` is the (n, d) float32 matrix by ascending id and
``snapshots/<checksum>/ids.arrow`` an Arrow file of the ids. Equal content has one snapshot, however many
releases pin it.
"""

import io

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import StoreError
from featurestore.objects import HasLocalFiles
from featurestore.store import ObjectStore, Store
from featurestore.table_facts import matrix_of, sorted_positions

_MATRIX = "vectors.npy"
_IDS = "ids.arrow"


def write_snapshot(store: Store, table: str, version: int, checksum: str) -> str:
    """Prepare the snapshot of a vector table version; nothing is written if it is there.

    Args:
        store: Holds the table and takes the snapshot.
        table: A table of `featurestore.schema.vectors`.
        version: Its version.
        checksum: `featurestore.table_facts.TableFacts.checksum` of that version.

    Returns:
        The snapshot's path prefix. Holds the vectors in memory twice meanwhile.

    Raises:
        StorageFullError: If there is no room for it.
    """
    prefix = f"snapshots/{checksum}"
    if len(store.objects.list(f"{prefix}/")) == 2:
        return prefix
    rows = store.read(table, version=version, columns=[c.ID, c.VECTOR])
    rows = rows.take(sorted_positions(rows, [c.ID]))
    store.objects.put_new(f"{prefix}/{_IDS}", _ids_file(rows[c.ID].combine_chunks()))
    store.objects.put_new(f"{prefix}/{_MATRIX}", _npy_file(matrix_of(rows)))
    return prefix


def read_snapshot(objects: ObjectStore, prefix: str) -> tuple[pa.Array, npt.NDArray[np.float32]]:
    """Ids and vectors of a snapshot, mapped into memory where objects are files.

    Returns:
        The (n,) string array of ids, ascending, and the (n, d) float32 matrix. Pages of the matrix are
        copied on write: nothing written to it reaches the file.

    Raises:
        StoreError: If the snapshot is absent or damaged.
    """
    try:
        ids, matrix = _read_ids(objects, f"{prefix}/{_IDS}"), _read_matrix(objects, f"{prefix}/{_MATRIX}")
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(prefix, str(error)) from error
    if matrix.ndim != 2 or matrix.dtype != np.float32 or len(ids) != len(matrix):
        raise _damaged(prefix, f"{len(ids)} ids, matrix of {matrix.dtype} {matrix.shape}")
    return ids, matrix


def _read_ids(objects: ObjectStore, path: str) -> pa.Array:
    if isinstance(objects, HasLocalFiles):
        source = pa.memory_map(str(objects.local_file(path)))
    else:
        source = pa.BufferReader(objects.read(path))
    return pa.ipc.open_file(source).read_all()[c.ID].combine_chunks()


def _read_matrix(objects: ObjectStore, path: str) -> npt.NDArray[np.float32]:
    if isinstance(objects, HasLocalFiles):
        return np.load(objects.local_file(path), mmap_mode="c", allow_pickle=False)
    return np.load(io.BytesIO(objects.read(path)), allow_pickle=False)


def _ids_file(ids: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table([ids], schema=pa.schema([pa.field(c.ID, pa.string(), nullable=False)]))
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    return sink.getvalue().to_pybytes()


def _npy_file(matrix: npt.NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(matrix), allow_pickle=False)
    return buffer.getvalue()


def _damaged(prefix: str, found: str) -> StoreError:
    return StoreError(
        f"the vector snapshot {prefix!r} is damaged: {found}.",
        hint=f"Delete the folder {prefix} in the store and run `featurestore publish`: it is made again.",
    )

"""Candidate lists beside the edges, so that the next build costs what changed.

One Arrow file of a graph view: node ids, digests of their vectors, and `featurestore.graphs.candidates`. It
says itself which vectors it was made of, so an old one is never wrong, and a lost one costs a build from
nothing. It is no part of a release: only the newest is kept.
"""

import io

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from featurestore import columns as c
from featurestore.graphs.candidates import Candidates
from featurestore.graphs.updating import KnownLists
from featurestore.spec import GraphSpec, table_name
from featurestore.store import Store

_SUFFIX = ".candidates.arrow"


def read_candidates(store: Store, spec: GraphSpec) -> KnownLists | None:
    """The lists that were kept of a graph's view, whatever its earlier specs; None if none can be read."""
    for path in reversed(_paths(store, spec)):
        try:
            return _decoded(store.objects.read(path))
        except (pa.ArrowInvalid, KeyError):  # derived data: building from nothing makes them anew
            continue
    return None


def write_candidates(store: Store, spec: GraphSpec, version: int, lists: KnownLists) -> None:
    """Keep the lists of a version of a graph's table, and drop those of earlier builds of its view."""
    path = f"graphs/{table_name(spec)}/{version:06d}{_SUFFIX}"
    store.objects.put_new(path, _encoded(lists))
    for other in _paths(store, spec):
        if other != path:
            store.objects.delete(other)


def drop_candidates(store: Store, spec: GraphSpec) -> int:
    """Remove the lists kept of a graph's view, as when a node must be forgotten; how many there were."""
    paths = _paths(store, spec)
    for path in paths:
        store.objects.delete(path)
    return len(paths)


def _paths(store: Store, spec: GraphSpec) -> list[str]:
    kept = store.objects.list(f"graphs/{spec.kind}.{spec.feature}.{spec.view}.")
    return [path for path in kept if path.endswith(_SUFFIX)]


def _encoded(lists: KnownLists) -> bytes:
    keys = lists.candidates.keys
    rows = pa.table(
        {
            c.ID: pa.array(lists.ids, pa.string()),
            "digest": pa.array(list(lists.digests), pa.binary(16)),
            "keys": pa.FixedSizeListArray.from_arrays(pa.array(keys.reshape(-1)), keys.shape[1]),
            "boundary": pa.array(lists.candidates.boundary),
        }
    )
    sink = io.BytesIO()
    with ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def _decoded(data: bytes) -> KnownLists:
    rows = ipc.open_file(data).read_all().combine_chunks()
    keys = rows["keys"].combine_chunks()
    candidates = Candidates(keys.flatten().to_numpy().reshape(rows.num_rows, -1), rows["boundary"].to_numpy())
    ids = rows[c.ID].to_numpy(zero_copy_only=False).astype(np.object_)
    return KnownLists(ids, rows["digest"].to_pylist(), candidates)

"""Values that readers get from a release: vectors by id, and neighbour graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featurestore import columns as c
from featurestore.errors import EmbeddingSpaceError, MissingIdsError, missing_extra
from featurestore.ids import ExternalId
from featurestore.spec import AnyVectorSpec, EncoderSpec, GraphSpec

if TYPE_CHECKING:
    import torch


class Embeddings:
    """Vectors of one feature view in one release.

    Args:
        ids: (n,) Arrow strings, ascending, unique.
        vectors: (n, d) float32.
        spec: What the vectors are.
        event_sets: Event sets that the encoded texts read.
    """

    def __init__(
        self,
        ids: pa.Array,
        vectors: npt.NDArray[np.float32],
        *,
        spec: AnyVectorSpec,
        event_sets: Sequence[str] = (),
    ) -> None:
        self._ids = ids
        self._vectors = vectors
        self.spec = spec
        self.event_sets = tuple(event_sets)

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        name = f"{self.spec.feature}.{self.spec.view}"
        return (
            f"Embeddings({name!r}, n={len(self)}, d={self._vectors.shape[1]}, encoder={self.encoder.name!r})"
        )

    @property
    def encoder(self) -> EncoderSpec:
        """The embedding space."""
        return self.spec.encoder

    @cached_property
    def ids(self) -> list[ExternalId]:
        """External ids, ascending: row i of `matrix` is the vector of ``ids[i]``."""
        return self._ids.to_pylist()

    @cached_property
    def matrix(self) -> npt.NDArray[np.float32]:
        """(n, d) float32, read-only, mapped from disk: rows are loaded when they are touched."""
        view = self._vectors.view()
        view.flags.writeable = False
        return view

    def rows(self, ids: Sequence[ExternalId]) -> npt.NDArray[np.float32]:
        """Vectors of ids, in request order (repeats allowed): a new (m, d) float32 array.

        Raises:
            MissingIdsError: Naming every id that has no vector.
        """
        wanted = pa.array(ids, pa.string())
        positions = pc.call_function("index_in", [wanted], pc.SetLookupOptions(self._ids))
        if positions.null_count:
            absent = wanted.filter(positions.is_null()).to_pylist()
            raise MissingIdsError(f"{self.spec.feature}.{self.spec.view}", list(dict.fromkeys(absent)))
        return self._vectors[positions.to_numpy(zero_copy_only=False)]

    def to_torch(self) -> "torch.Tensor":
        """The (n, d) float32 tensor over the same mapped memory: nothing is copied.

        Writing to it changes this process's memory only, and `matrix` with it; clone it to train it.

        Raises:
            SetupError: If torch is not installed.
        """
        try:
            import torch
        except ImportError:
            raise missing_extra("torch", "train") from None
        return torch.from_numpy(self._vectors)

    def to_polars(self) -> pl.DataFrame:
        """Columns ``id`` and ``vector`` (array of d float32)."""
        width = self._vectors.shape[1]
        values = pa.FixedSizeListArray.from_arrays(pa.array(self._vectors.reshape(-1)), width)
        return pl.DataFrame(pa.table([self._ids, values], names=[c.ID, c.VECTOR]))


def require_same_space(*embeddings: Embeddings) -> EncoderSpec:
    """The one embedding space of several sets of vectors.

    Raises:
        EmbeddingSpaceError: Naming the first two that differ, and in what.
    """
    first, *others = embeddings
    for other in others:
        ours, theirs = first.encoder, other.encoder
        if ours.digest != theirs.digest:
            different = [
                f"{name} {getattr(ours, name)!r} and {getattr(theirs, name)!r}"
                for name in EncoderSpec.model_fields
                if getattr(ours, name) != getattr(theirs, name)
            ]
            raise EmbeddingSpaceError(
                f"vectors of {first!r} and {other!r} lie in different spaces: {'; '.join(different)}.",
                hint="Encode both with the same encoder: `featurestore embed --encoder …`.",
            )
    return first.encoder


@dataclass(frozen=True)
class NeighborGraph:
    """A directed kNN graph in compressed rows.

    Attributes:
        ids: Node → external id, ascending; every node that an edge leaves or enters.
        indptr: (n + 1,) int64: the edges of node i are ``indptr[i]:indptr[i + 1]``, nearest first.
        indices: (e,) int64 neighbour nodes.
        scores: (e,) float32 cosine similarities.
        spec: What the graph is.
    """

    ids: list[ExternalId]
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    spec: GraphSpec

    def __len__(self) -> int:
        return len(self.ids)

    def edge_index(self) -> npt.NDArray[np.int64]:
        """(2, e) int64: sources above, neighbours below."""
        sources = np.repeat(np.arange(len(self.ids), dtype=np.int64), np.diff(self.indptr))
        return np.stack([sources, self.indices])

    @cached_property
    def stats(self) -> dict[str, float]:
        """Nodes, edges, out- and in-degrees, mean score and the share of edges that go both ways."""
        edges = self.edge_index()
        incoming = np.bincount(edges[1], minlength=len(self.ids))
        forward = edges[0] * len(self.ids) + edges[1]
        backward = edges[1] * len(self.ids) + edges[0]
        num_edges = max(len(self.indices), 1)
        return {
            "num_nodes": len(self.ids),
            "num_edges": len(self.indices),
            "mean_out_degree": len(self.indices) / max(len(self.ids), 1),
            "max_in_degree": int(incoming.max(initial=0)),
            "isolated_in": int(np.count_nonzero(incoming == 0)),
            "mean_score": float(self.scores.mean()) if len(self.scores) else 0.0,
            "mutual_share": float(np.isin(forward, backward).sum() / num_edges),
        }


def graph_of_edges(edges: pl.DataFrame, spec: GraphSpec) -> NeighborGraph:
    """Compressed rows of an edge table (`featurestore.schema.EDGES`), in any order."""
    ids = pl.concat([edges[c.SRC_ID], edges[c.DST_ID]]).unique().sort()
    nodes = pl.DataFrame({c.ID: ids}).with_row_index("node").with_columns(pl.col("node").cast(pl.Int64))
    placed = (
        edges.join(nodes.rename({c.ID: c.SRC_ID, "node": "src"}), on=c.SRC_ID)
        .join(nodes.rename({c.ID: c.DST_ID, "node": "dst"}), on=c.DST_ID)
        .sort("src", c.RANK)
    )
    degrees = np.bincount(placed["src"].to_numpy(), minlength=len(ids))
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(degrees, dtype=np.int64)])
    scores = placed[c.SCORE].cast(pl.Float32).to_numpy()
    return NeighborGraph(ids.to_list(), indptr, placed["dst"].to_numpy(), scores, spec)

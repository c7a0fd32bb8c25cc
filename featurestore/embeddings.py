"""Vectors of one feature view as readers get them: one mapped matrix, and the libraries that look at it."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import EmbeddingSpaceError, MissingIdsError, missing_extra
from featurestore.ids import ExternalId, RowArray
from featurestore.spec import AnyVectorSpec, EncoderSpec

if TYPE_CHECKING:
    import torch
    from duckdb import DuckDBPyConnection, DuckDBPyRelation


class Embeddings:
    """Vectors of one feature view in one release.

    `matrix`, `to_torch`, `to_arrow`, `to_polars` and `to_duckdb` show the same mapped memory: none copies it.

    Args:
        ids: (n,) Arrow strings, ascending by their bytes, unique.
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

    def find(self, ids: Sequence[ExternalId]) -> RowArray:
        """Rows of `matrix`, in request order (repeats allowed): (m,) int64, -1 for an id without a vector.

        Cost: a binary search for each id.
        """
        wanted = pl.Series(ids, dtype=pl.String)
        places = self._names.search_sorted(wanted)
        known = (self._names.gather(places, null_on_oob=True) == wanted).fill_null(value=False)
        return np.where(known.to_numpy(), places.to_numpy(), np.int64(-1))

    def row_of(self, ids: Sequence[ExternalId]) -> RowArray:
        """Rows of `matrix`, in request order (repeats allowed): (m,) int64.

        Raises:
            MissingIdsError: Naming every id that has no vector.
        """
        rows = self.find(ids)
        if (rows < 0).any():
            absent = dict.fromkeys(i for i, row in zip(ids, rows.tolist(), strict=True) if row < 0)
            raise MissingIdsError(f"{self.spec.feature}.{self.spec.view}", list(absent))
        return rows

    def rows(self, ids: Sequence[ExternalId]) -> npt.NDArray[np.float32]:
        """Vectors of ids, in request order (repeats allowed): a new (m, d) float32 array.

        Raises:
            MissingIdsError: Naming every id that has no vector.
        """
        return self._vectors[self.row_of(ids)]

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

    def to_arrow(self) -> pa.Table:
        """Columns ``id`` and ``vector`` (fixed-size lists of d float32)."""
        values = pa.FixedSizeListArray.from_arrays(
            pa.array(self._vectors.reshape(-1)), self._vectors.shape[1]
        )
        return pa.table([self._ids, values], names=[c.ID, c.VECTOR])

    def to_polars(self) -> pl.DataFrame:
        """Columns ``id`` and ``vector`` (array of d float32)."""
        return pl.DataFrame(self.to_arrow())

    def to_duckdb(self, connection: "DuckDBPyConnection | None" = None) -> "DuckDBPyRelation":
        """A DuckDB relation of the columns ``id`` and ``vector`` (``FLOAT[d]``), for SQL over them.

        Args:
            connection: Whose relation it becomes; DuckDB's default one if None.

        Raises:
            SetupError: If duckdb is not installed.
        """
        try:
            import duckdb
        except ImportError:
            raise missing_extra("duckdb", "duckdb") from None
        return duckdb.from_arrow(self.to_arrow(), connection=connection or duckdb.default_connection())

    @cached_property
    def _names(self) -> pl.Series:
        return pl.Series(self._ids)


def require_same_space(*spaces: Embeddings | EncoderSpec) -> EncoderSpec:
    """The one embedding space of several sets of vectors, or of vectors and the encoder of a query.

    Raises:
        EmbeddingSpaceError: Naming the first two that differ, and in what.
    """
    first, *others = spaces
    ours = _encoder_of(first)
    for other in others:
        theirs = _encoder_of(other)
        if ours.digest != theirs.digest:
            different = [
                f"{name} {getattr(ours, name)!r} and {getattr(theirs, name)!r}"
                for name in EncoderSpec.model_fields
                if getattr(ours, name) != getattr(theirs, name)
            ]
            raise EmbeddingSpaceError(
                f"vectors of {_named(first)} and {_named(other)} lie in different spaces: "
                f"{'; '.join(different)}.",
                hint="Encode both with the same encoder: `featurestore embed --encoder …`.",
            )
    return ours


def _encoder_of(space: Embeddings | EncoderSpec) -> EncoderSpec:
    return space.encoder if isinstance(space, Embeddings) else space


def _named(space: Embeddings | EncoderSpec) -> str:
    return repr(space) if isinstance(space, Embeddings) else f"encoder {space.name!r}"

"""Sparse matrices of the models that count: users' profiles, cosines of items, and their form on disk.

Saved arrays are float32, which holds whole numbers up to 2^24 exactly. A matrix is therefore saved with the
length of every row instead of running sums. scipy multiplies, and is seen by this file only.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse

from featurestore.errors import UsageError
from featurestore.ids import RowArray
from recommender.data import FloatArray, IntArray

MOST_ITEMS: Final = 2**24
"""Item rows that a saved matrix can name."""


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A (r, c) matrix as compressed rows.

    Attributes:
        indptr: (r + 1,) int64; row i stands at ``indptr[i]`` to ``indptr[i + 1]``.
        columns: (nnz,) int64; a column may stand twice in a row, its values add up.
        values: (nnz,) float32.
        num_columns: c.
    """

    indptr: IntArray
    columns: IntArray
    values: FloatArray
    num_columns: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> IntArray:
        """(r,) int64: stored entries of every row."""
        return np.diff(self.indptr)

    def take(self, rows: RowArray) -> "SparseRows":
        """Some rows, in the order asked for."""
        return _from_scipy(_to_scipy(self)[rows])

    def transposed(self) -> "SparseRows":
        """(c, r), columns ascending."""
        return _from_scipy(_to_scipy(self).T.tocsr())

    def times(self, other: "SparseRows") -> FloatArray:
        """The product with another sparse matrix (c, m): dense (r, m) float32 in new memory."""
        return (_to_scipy(self) @ _to_scipy(other)).toarray()

    def times_dense(self, matrix: FloatArray) -> FloatArray:
        """The product with (c, m) float32: (r, m) float32 in new memory."""
        return _to_scipy(self) @ matrix

    def arrays(self) -> dict[str, FloatArray]:
        """As saved arrays: ``row_lengths`` (r,), ``columns`` and ``values`` (nnz,), all float32."""
        return {
            "row_lengths": self.lengths.astype(np.float32),
            "columns": self.columns.astype(np.float32),
            "values": self.values,
        }


def from_arrays(arrays: dict[str, FloatArray], num_columns: int) -> SparseRows:
    """The matrix that `SparseRows.arrays` took apart, its entries in the same order."""
    lengths = arrays["row_lengths"].astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return SparseRows(indptr, arrays["columns"].astype(np.int64), arrays["values"], num_columns)


def from_entries(
    rows: IntArray, columns: IntArray, values: npt.NDArray[np.floating], *, num_rows: int, num_columns: int
) -> SparseRows:
    """A matrix of (nnz,) entries in any order; equal places add up before they are rounded to float32."""
    entries = (values, (rows, columns))
    return _from_scipy(scipy.sparse.coo_array(entries, shape=(num_rows, num_columns)).tocsr())


def profile_rows(
    indptr: IntArray, items: IntArray, num_items: int, weights: FloatArray | None = None
) -> SparseRows:
    """What every user had, as rows that are multiplied with a matrix of items.

    Args:
        indptr: (U + 1,) int64 bounds of the users' items.
        items: (n,) int64; repeats within a user count as often as they stand there.
        num_items: I.
        weights: (n,) float32; ones if None.

    Returns:
        (U, I).

    Raises:
        UsageError: If the catalogue has more than 2^24 items.
    """
    if num_items > MOST_ITEMS:
        raise UsageError(
            f"the catalogue has {num_items:,} items; models of this kind take {MOST_ITEMS:,} at most.",
            hint="Train a model with embeddings, such as lightgcn.",
        )
    values = np.ones(len(items), np.float32) if weights is None else weights
    return SparseRows(indptr, items, values, num_items)


def item_cosines(profiles: SparseRows, *, shrinkage: float = 0.0) -> SparseRows:
    """Cosine of two items' columns: users who had both / (√(users of one · users of the other) + shrinkage).

    Cost: Σ over users of (items of the user)² additions; memory for every pair that any user had.

    Args:
        profiles: (U, I) of ones, each pair once.
        shrinkage: Added to the divisor: pairs that rest on few users count for less.

    Returns:
        (I, I), symmetric, nothing on the diagonal, columns ascending.
    """
    counts = _from_scipy(_to_scipy(profiles.transposed()) @ _to_scipy(profiles))  # users who had both
    rows = np.repeat(np.arange(len(counts)), counts.lengths)
    degrees = np.bincount(profiles.columns, minlength=profiles.num_columns).astype(np.float64)
    cosines = counts.values / (np.sqrt(degrees[rows] * degrees[counts.columns]) + shrinkage)
    other = rows != counts.columns
    size = profiles.num_columns
    return from_entries(rows[other], counts.columns[other], cosines[other], num_rows=size, num_columns=size)


def largest_per_row(matrix: SparseRows, count: int) -> SparseRows:
    """The ``count`` largest entries of every row; equal ones by ascending column. Columns ascend."""
    rows = np.repeat(np.arange(len(matrix)), matrix.lengths)
    order = np.lexsort((matrix.columns, -matrix.values, rows))
    place = np.arange(len(rows)) - np.repeat(matrix.indptr[:-1], matrix.lengths)
    kept = order[place < count]
    return from_entries(
        rows[kept],
        matrix.columns[kept],
        matrix.values[kept],
        num_rows=len(matrix),
        num_columns=matrix.num_columns,
    )


def _to_scipy(matrix: SparseRows) -> Any:  # noqa: ANN401 - scipy's matrices are untyped
    entries = (matrix.values, matrix.columns, matrix.indptr)
    return scipy.sparse.csr_array(entries, shape=(len(matrix), matrix.num_columns))


def _from_scipy(matrix: Any) -> SparseRows:  # noqa: ANN401 - scipy's matrices are untyped
    # A product leaves the columns of a row in no order.
    if not matrix.has_sorted_indices:
        matrix.sort_indices()
    return SparseRows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int64),
        matrix.data.astype(np.float32),
        matrix.shape[1],
    )

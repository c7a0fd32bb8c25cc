import numpy as np
import pytest

from featurestore.errors import UsageError
from recommender.graph.sparse import (
    SparseRows,
    from_arrays,
    from_entries,
    item_cosines,
    largest_per_row,
    profile_rows,
)


def dense_of(matrix: SparseRows) -> np.ndarray:
    full = np.zeros((len(matrix), matrix.num_columns))
    for row in range(len(matrix)):
        for place in range(matrix.indptr[row], matrix.indptr[row + 1]):
            full[row, matrix.columns[place]] += matrix.values[place]
    return full


def random_rows(rng, num_rows=7, num_columns=5, nnz=20) -> SparseRows:
    rows, columns = rng.integers(num_rows, size=nnz), rng.integers(num_columns, size=nnz)
    return from_entries(rows, columns, rng.standard_normal(nnz), num_rows=num_rows, num_columns=num_columns)


def test_entries_in_any_order_add_up(rng):
    rows, columns, values = rng.integers(3, size=30), rng.integers(4, size=30), rng.standard_normal(30)
    expected = np.zeros((3, 4))
    for row, column, value in zip(rows, columns, values, strict=True):
        expected[row, column] += value
    matrix = from_entries(rows, columns, values, num_rows=3, num_columns=4)
    np.testing.assert_allclose(dense_of(matrix), expected, rtol=1e-6)
    assert matrix.values.dtype == np.float32


def test_products_equal_dense_ones(rng):
    left, right = random_rows(rng), random_rows(rng, 5, 6)
    np.testing.assert_allclose(left.times(right), dense_of(left) @ dense_of(right), rtol=1e-5, atol=1e-6)
    thick = rng.standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(left.times_dense(thick), dense_of(left) @ thick, rtol=1e-5, atol=1e-6)
    assert left.times(right).dtype == left.times_dense(thick).dtype == np.float32
    np.testing.assert_array_equal(dense_of(left.transposed()), dense_of(left).T)
    rows = np.array([4, 0, 4])
    np.testing.assert_array_equal(dense_of(left.take(rows)), dense_of(left)[rows])
    assert left.take(np.array([], np.int64)).times(right).shape == (0, 6)


def test_arrays_give_the_same_matrix(rng):
    matrix = random_rows(rng)
    arrays = matrix.arrays()
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    again = from_arrays(arrays, matrix.num_columns)
    for name in ("indptr", "columns", "values"):
        np.testing.assert_array_equal(getattr(again, name), getattr(matrix, name))


def test_a_repeated_item_counts_as_often_as_it_stands_there():
    profiles = profile_rows(np.array([0, 3, 3]), np.array([2, 0, 2]), 3)
    np.testing.assert_array_equal(dense_of(profiles), [[1, 0, 2], [0, 0, 0]])
    np.testing.assert_array_equal(profiles.times_dense(np.eye(3, dtype=np.float32)), [[1, 0, 2], [0, 0, 0]])


def test_cosines_of_columns(rng):
    full = (rng.random((20, 6)) < 0.4).astype(float)
    full[:, 5] = 0  # nobody had it
    users, items = np.nonzero(full)
    indptr = np.concatenate([[0], np.cumsum(full.sum(axis=1).astype(int))])
    for shrinkage in (0.0, 3.0):
        expected = np.zeros((6, 6))
        for i in range(6):
            for j in range(6):
                norms = np.sqrt(full[:, i].sum() * full[:, j].sum())
                if i != j and norms:
                    expected[i, j] = full[:, i] @ full[:, j] / (norms + shrinkage)
        cosines = item_cosines(profile_rows(indptr, items, 6), shrinkage=shrinkage)
        np.testing.assert_allclose(dense_of(cosines), expected, rtol=1e-6)
    assert len(users) == len(items)


def test_the_largest_of_each_row_with_ties_by_column():
    values = np.array([1.0, 3.0, 3.0, 3.0, 2.0, 9.0])
    rows, columns = np.array([0, 0, 0, 0, 0, 2]), np.array([0, 4, 1, 3, 2, 2])
    kept = largest_per_row(from_entries(rows, columns, values, num_rows=3, num_columns=5), 2)
    np.testing.assert_array_equal(dense_of(kept), [[0, 3, 0, 3, 0], [0, 0, 0, 0, 0], [0, 0, 9, 0, 0]])


def test_more_items_than_float32_can_number_are_refused():
    with pytest.raises(UsageError, match=r"has 16,777,217 items; .* take 16,777,216 at most\.\n  Train a"):
        profile_rows(np.array([0, 0]), np.array([], np.int64), 2**24 + 1)

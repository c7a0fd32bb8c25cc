"""Neighbours as one integer each: ascending order is by descending score, then by ascending row.

The upper 32 bits hold the score's float32 bits, turned so that greater scores come first; the lower 32 bits
hold the row. Sorting, merging and cutting neighbour lists are then operations on integers, and two builders
that know the same scores agree on every tie.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

NONE: Final = np.uint64(2**64 - 1)
"""No neighbour; sorts last. As a boundary: nothing was left out."""

_SIGN: Final = np.uint32(2**31)
_ROW_BITS: Final = np.uint64(32)
_ROW_MASK: Final = np.uint64(2**32 - 1)


def encode(scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> Keys:
    """Keys of (score, row) pairs; `NONE` where ``rows`` is negative.

    Args:
        scores: Any shape, float32, no NaN.
        rows: Of the same shape (or one that broadcasts), below 2³² - 1.
    """
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 makes one zero of -0 and +0
    descending = np.where(bits & _SIGN, bits, ~(bits | _SIGN))
    keys = (descending.astype(np.uint64) << _ROW_BITS) | (rows.astype(np.uint64) & _ROW_MASK)
    return np.where(rows < 0, NONE, keys)


def decode(keys: Keys) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Rows and scores of keys: row -1 and score 0 for `NONE`."""
    none = keys == NONE
    rows = np.where(none, -1, (keys & _ROW_MASK).astype(np.int64))
    descending = (keys >> _ROW_BITS).astype(np.uint32)
    bits = np.where(descending & _SIGN, descending, ~descending & ~_SIGN)
    return rows, np.where(none, np.float32(0), bits.view(np.float32))


def below(scores: npt.NDArray[np.float64]) -> Keys:
    """The last key before all neighbours whose exact score is at most ``scores``, whatever their rows.

    Args:
        scores: Upper bounds of scores; -inf gives `NONE`.
    """
    upward = scores.astype(np.float32)
    upward = np.where(upward < scores, np.nextafter(upward, np.float32(np.inf)), upward)
    first = encode(upward, np.zeros(scores.shape, np.int64))
    return np.where(np.isneginf(scores), NONE, first - np.uint64(1))

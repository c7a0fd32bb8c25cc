"""Semantic ids of two releases: which moved, and from which level on."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore import columns as c
from featurestore.diff.result import CodeMove, CodesDiff
from featurestore.release import TablePin
from featurestore.spec import CodesSpec
from featurestore.store import Store

_AFTER: Final = "after"
_PLACES: Final = "places"


def diff_codes(store: Store, before: TablePin, after: TablePin, *, limit: int) -> CodesDiff:
    """Compare two versions of the semantic ids of one feature view.

    Args:
        store: Holds both.
        before: The earlier pin.
        after: The later one.
        limit: Moved entities to show.
    """
    old, new = _semantic_ids(store, before), _semantic_ids(store, after)
    both = old.join(new.rename({_PLACES: _AFTER}), on=c.ID).sort(c.ID)
    moved = both.filter(pl.col(_PLACES) != pl.col(_AFTER))
    first = _first_difference(moved)
    order = np.argsort(first, kind="stable")[:limit] if len(first) else np.arange(min(limit, moved.height))
    return CodesDiff(
        name=after.name,
        entity=after.spec.entity,
        same_codebook=_codebook(before) == _codebook(after),
        num_equal=both.height - moved.height,
        num_moved=moved.height,
        num_added=new.height - both.height,
        num_removed=old.height - both.height,
        moved_by_level=tuple(np.bincount(first, minlength=_width(old)).tolist()) if len(first) else (),
        examples=tuple(CodeMove(i, tuple(was), tuple(now)) for i, was, now in moved[order].iter_rows()),
    )


def _semantic_ids(store: Store, pin: TablePin) -> pl.DataFrame:
    rows = pl.DataFrame(store.read(pin.table, version=pin.version, columns=[c.ID, c.CODES, c.COLLISION]))
    return rows.select(c.ID, pl.col(c.CODES).list.concat(pl.col(c.COLLISION)).alias(_PLACES))


def _first_difference(moved: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The first place that differs, of each moved entity; empty if numbers of places differ."""
    if moved.is_empty() or _width(moved) != moved[_AFTER].list.len()[0]:
        return np.zeros(0, np.int64)
    places = (moved[name].list.to_array(_width(moved)).to_numpy() for name in (_PLACES, _AFTER))
    old, new = places  # (m, levels + 1) each
    return (old != new).argmax(axis=1)


def _width(ids: pl.DataFrame) -> int:
    """Places of a semantic id: all of one spec have equally many."""
    return ids[_PLACES].list.len()[0]


def _codebook(pin: TablePin) -> str | None:
    return pin.spec.codebook if isinstance(pin.spec, CodesSpec) else None

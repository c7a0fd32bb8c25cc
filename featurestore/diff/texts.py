"""Texts of two releases: which were rewritten, and how much of them."""

from typing import Final

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.diff.result import TextChange, TextDiff
from featurestore.pages.word_difference import word_similarity
from featurestore.release import TablePin
from featurestore.store import Store

_SAMPLE: Final = 200
"""Texts to compare by word: a comparison takes time that grows with the square of a text's length."""
_SEED: Final = 20240229
_AFTER: Final = "after"


def diff_texts(store: Store, before: TablePin, after: TablePin, *, limit: int) -> TextDiff:
    """Compare two versions of the texts of one feature view, of any specs.

    Args:
        store: Holds both.
        before: The earlier pin.
        after: The later one.
        limit: Examples to give.
    """
    joined = _texts(store, before).join(
        _texts(store, after).rename({c.TEXT: _AFTER}), on=c.ID, how="full", coalesce=True
    )
    had, has = pl.col(c.TEXT).is_not_null(), pl.col(_AFTER).is_not_null()
    both = joined.filter(had & has)
    changed = both.filter(pl.col(c.TEXT) != pl.col(_AFTER)).sort(c.ID)
    sampled = _sample(changed)
    changes = [TextChange(i, old, new, word_similarity(old, new)) for i, old, new in sampled.iter_rows()]
    changes.sort(key=lambda change: (change.similarity, change.id))
    return TextDiff(
        name=after.name,
        entity=after.spec.entity,
        num_equal=both.height - changed.height,
        num_changed=changed.height,
        num_added=joined.filter(~had & has).height,
        num_removed=joined.filter(had & ~has).height,
        num_sampled=sampled.height,
        mean_similarity=float(np.mean([change.similarity for change in changes])) if changes else None,
        examples=tuple(changes[:limit]),
        lengths=(_lengths(sampled[c.TEXT]), _lengths(sampled[_AFTER])) if changes else None,
    )


def _texts(store: Store, pin: TablePin) -> pl.DataFrame:
    return pl.DataFrame(store.read(pin.table, version=pin.version, columns=[c.ID, c.TEXT]))


def _sample(changed: pl.DataFrame) -> pl.DataFrame:
    if changed.height <= _SAMPLE:
        return changed
    chosen = np.random.default_rng(_SEED).choice(changed.height, size=_SAMPLE, replace=False)
    return changed[np.sort(chosen)]


def _lengths(texts: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return texts.str.len_chars().cast(pl.Int64).to_numpy()

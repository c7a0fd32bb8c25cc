"""Which rows stand behind the refusal of a gate that was measured as a count only."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.consistency import outdated_ids
from featurestore.gates.draft import Draft
from featurestore.gates.rules import MAX_ROWS, foreign_event_sets
from featurestore.spec import AnySpec, VectorSpec
from featurestore.table_facts import TableFacts, key_columns, matrix_of

_Finder: TypeAlias = Callable[[Draft, AnySpec], Iterable[str]]


def rows_behind(draft: Draft, spec: AnySpec, facts: TableFacts, gate: str) -> Iterable[str]:
    """Rows of a table that a gate refuses; none where the refusal is about the table as a whole.

    Args:
        draft: The release to be.
        spec: The table's spec.
        facts: What was measured of it.
        gate: The gate that refused.
    """
    finder = _FINDERS.get(gate)
    return finder(draft, spec) if finder is not None and facts.version else ()


def _repeated(draft: Draft, spec: AnySpec) -> list[str]:
    keys = key_columns(spec)
    repeated = draft.rows(spec, keys).group_by(keys).len().filter(pl.col("len") > 1).sort(keys)
    return [" > ".join(key) for key in repeated.select(keys).head(MAX_ROWS).iter_rows()]


def _failed(draft: Draft, spec: AnySpec) -> list[str]:
    rows = draft.rows(spec, [c.ID, c.STATUS, c.REASON]).filter(pl.col(c.STATUS) != c.STATUS_OK).sort(c.ID)
    return [f"{i} ({reason})" for i, reason in rows.select(c.ID, c.REASON).head(MAX_ROWS).iter_rows()]


def _duplicates(draft: Draft, spec: AnySpec) -> list[str]:
    """Ids of the texts that most rows share."""
    good = draft.rows(spec, [c.ID, c.STATUS, c.TEXT]).filter(pl.col(c.STATUS) == c.STATUS_OK)
    shared = good.with_columns(pl.len().over(c.TEXT).alias("sharing")).filter(pl.col("sharing") > 1)
    return shared.sort("sharing", c.TEXT, c.ID, descending=[True, False, False])[c.ID].to_list()


def _bad_vectors(draft: Draft, spec: AnySpec, *, finite: bool) -> list[str]:
    """Ids of zero vectors, or of those with NaN or an infinity."""
    facts = draft.facts(spec)
    rows = draft.store.read(facts.table, version=facts.version, columns=[c.ID, c.VECTOR])
    vectors = matrix_of(rows)
    bad = ~vectors.any(axis=1) if finite else ~np.isfinite(vectors).all(axis=1)
    return sorted(rows[c.ID].filter(bad).to_pylist())


def _outdated(draft: Draft, spec: AnySpec) -> list[str]:
    assert isinstance(spec, VectorSpec)
    text = next(known for known, _ in draft.tables if known.digest == spec.text_digest)
    measured = (spec, draft.facts(spec)), (text, draft.facts(text))
    return sorted(outdated_ids(draft.store, vectors=measured[0], texts=measured[1]))


def _foreign(draft: Draft, spec: AnySpec) -> list[str]:
    facts = draft.facts(spec)
    if not facts.event_sets:
        return []
    foreign = foreign_event_sets(facts.event_sets, draft.split)
    rows = draft.rows(spec, [c.ID, c.EVENT_SET]).filter(pl.col(c.EVENT_SET).is_in(foreign))
    return rows[c.ID].sort().to_list()


_FINDERS: Final[Mapping[str, _Finder]] = {
    "unique_ids": _repeated,
    "failure_rate": _failed,
    "duplicate_texts": _duplicates,
    "finite": partial(_bad_vectors, finite=False),
    "zero_norm": partial(_bad_vectors, finite=True),
    "current_texts": _outdated,
    "event_set": _foreign,
}

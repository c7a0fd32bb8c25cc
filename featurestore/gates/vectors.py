"""Gates of vectors: is it the same space, did any move without a reason, how far did the rest drift."""

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.gate_result import GateResult
from featurestore.gates.draft import Draft
from featurestore.gates.drift import (
    Neighborhoods,
    Rows,
    centroid_cosine,
    maximum_mean_discrepancy,
    moved_entities,
    neighbor_churn,
    sampled_rows,
)
from featurestore.gates.policy import GatePolicy
from featurestore.gates.rules import judged
from featurestore.release import TablePin
from featurestore.snapshot import read_snapshot
from featurestore.spec import AnyVectorSpec, VectorLike, VectorSpec
from featurestore.table_facts import matrix_of

CHURN_NEIGHBORS: Final = 10
_SAMPLED_VECTORS: Final = 1000
_SAMPLED_QUERIES: Final = 500
_LEAST_COSINE: Final = 0.99
"""Between two runs of one encoder over one text, whatever the machine and the batch."""


@dataclass(frozen=True)
class _Pair:
    """Vectors of a release to be and of its parent.

    Attributes:
        before: The parent's, and the entities in common.
        now: The draft's.
        ids_before: All ids of the parent, in the order of its vectors.
        ids_now: All ids of the draft.
        common: Columns ``id`` and ``same_text``, in the order of the entities in common.
    """

    before: Neighborhoods
    now: Neighborhoods
    ids_before: pl.Series
    ids_now: pl.Series
    common: pl.DataFrame

    def ids(self, places: Rows) -> list[str]:
        """Ids of entities in common."""
        return self.common[c.ID].gather(places).to_list()


def vector_gates(draft: Draft, spec: AnyVectorSpec, policy: GatePolicy) -> list[GateResult]:
    """The gates of one vector feature against the parent's; none if the parent has no such vectors.

    Drift and churn are measured where both have at least ``min_compared`` entities in common, drift within
    one embedding space only. Reads all vectors of both, unless the parent pins the same.
    """
    pin = draft.before(spec)
    if pin is None or pin.snapshot is None or not isinstance(pin.spec, VectorLike):
        return []
    if draft.is_unchanged(spec):
        return _unmoved(spec, policy, num_rows=pin.num_rows)
    old, new = pin.spec.encoder, spec.encoder
    same_space = old.digest == new.digest
    note = "" if same_space else f"{old.name} ({old.model}) became {new.name} ({new.model})"
    results = [judged(spec, "embedding_space", 0 if same_space else 1, 0, note=note)]
    pair = _read_pair(draft, spec, pin, pin.snapshot)
    if same_space and _is_encoded(spec) and _is_encoded(pin.spec):
        results.append(_unexplained_moves(pair, spec, policy))
    if pair.common.height < max(policy.min_compared, 2):
        return results
    return results + (_drift(pair, spec, policy) if same_space else []) + [_churn(pair, spec, policy)]


def _unmoved(spec: AnyVectorSpec, policy: GatePolicy, *, num_rows: int) -> list[GateResult]:
    results = [judged(spec, "embedding_space", 0, 0)]
    if _is_encoded(spec):
        results.append(judged(spec, "unexplained_moves", 0.0, policy.max_unexplained_moves))
    if num_rows < max(policy.min_compared, 2):
        return results
    return [
        *results,
        judged(spec, "centroid_cosine", 1.0, policy.min_centroid_cosine),
        judged(spec, "mmd", 0.0, policy.max_mmd),
        judged(spec, "knn_churn", 0.0, policy.max_knn_churn),
    ]


def _is_encoded(spec: AnyVectorSpec) -> bool:
    """Whether the rows name the texts that they were made of: vectors made elsewhere do not."""
    return isinstance(spec, VectorSpec)


def _read_pair(draft: Draft, spec: AnyVectorSpec, pin: TablePin, snapshot: str) -> _Pair:
    ids, before = read_snapshot(draft.store.objects, snapshot)
    ids_before = pl.Series(c.ID, ids)
    facts = draft.facts(spec)
    rows = draft.store.read(facts.table, version=facts.version, columns=[c.ID, c.VECTOR, c.TEXT_DIGEST])
    now, table = matrix_of(rows), pl.DataFrame(rows.select([c.ID, c.TEXT_DIGEST]))
    sound = np.logical_and(np.isfinite(now).all(axis=1), now.any(axis=1))
    if not sound.all():  # refused by other gates; nothing can be measured of these here
        now, table = now[sound], table.filter(sound)
    common = (
        pl.DataFrame([ids_before])
        .with_row_index("before")
        .join(table.with_row_index("now"), on=c.ID, maintain_order="left")
        .join(draft.rows_before(pin, [c.ID, c.TEXT_DIGEST]), on=c.ID, suffix="_before", maintain_order="left")
        .with_columns((pl.col(c.TEXT_DIGEST) == pl.col(f"{c.TEXT_DIGEST}_before")).alias("same_text"))
    )
    return _Pair(
        Neighborhoods(before, common["before"].to_numpy().astype(np.int64)),
        Neighborhoods(now, common["now"].to_numpy().astype(np.int64)),
        ids_before,
        table[c.ID],
        common.select(c.ID, "same_text"),
    )


def _unexplained_moves(pair: _Pair, spec: AnyVectorSpec, policy: GatePolicy) -> GateResult:
    same = np.flatnonzero(pair.common["same_text"].to_numpy())
    before = Neighborhoods(pair.before.vectors, pair.before.rows[same])
    now = Neighborhoods(pair.now.vectors, pair.now.rows[same])
    moved = same[moved_entities(before, now, least_cosine=_LEAST_COSINE)]
    share = len(moved) / max(len(same), 1)
    limit = policy.max_unexplained_moves
    return judged(spec, "unexplained_moves", share, limit, rows=partial(pair.ids, moved))


def _drift(pair: _Pair, spec: AnyVectorSpec, policy: GatePolicy) -> list[GateResult]:
    before, now = pair.before.vectors, pair.now.vectors
    samples = (
        before[sampled_rows(pair.ids_before, _SAMPLED_VECTORS)],
        now[sampled_rows(pair.ids_now, _SAMPLED_VECTORS)],
    )
    return [
        judged(spec, "centroid_cosine", centroid_cosine(before, now), policy.min_centroid_cosine),
        judged(spec, "mmd", maximum_mean_discrepancy(*samples), policy.max_mmd),
    ]


def _churn(pair: _Pair, spec: AnyVectorSpec, policy: GatePolicy) -> GateResult:
    queries = sampled_rows(pair.common[c.ID], _SAMPLED_QUERIES)
    churn = neighbor_churn(pair.before, pair.now, queries, CHURN_NEIGHBORS)
    worst = queries[np.argsort(-churn, kind="stable")]
    note = f"{CHURN_NEIGHBORS} neighbours of {len(queries):,} entities"
    mean = float(churn.mean())
    return judged(spec, "knn_churn", mean, policy.max_knn_churn, rows=partial(pair.ids, worst), note=note)

"""Gates of semantic ids: one per item, few collisions, and none that moved without a reason."""

import polars as pl

from featurestore import columns as c
from featurestore.codes.quality import code_churn
from featurestore.gate_result import GateResult
from featurestore.gates.draft import Draft
from featurestore.gates.policy import GatePolicy
from featurestore.gates.rules import judged
from featurestore.release import TablePin
from featurestore.spec import AnySpec, CodesSpec

_ROWS = [c.ID, c.CODES, c.COLLISION, c.TEXT_DIGEST]


def code_gates(draft: Draft, spec: CodesSpec, policy: GatePolicy) -> list[GateResult]:
    """The gates of one feature's semantic ids. Reads all of them, and the parent's, unless unchanged."""
    limits = {
        ("unique_codes", ""): 0.0,
        ("current_vectors", ""): 0.0,
        ("code_collisions", ""): policy.max_code_collisions,
    }
    pin, vectors = draft.before(spec), _vectors(draft, spec)
    unchanged = draft.is_unchanged(spec) and (vectors is None or draft.is_unchanged(vectors))
    if unchanged and (known := draft.carried(spec, limits)) is not None:
        return [*known, judged(spec, "code_churn", 0.0, policy.max_code_churn)]
    rows = draft.rows(spec, _ROWS)
    shared = _repeated(rows, [c.CODES])
    repeated = _repeated(rows, [c.CODES, c.COLLISION])
    share = len(shared) / max(rows.height, 1)
    others = _of_other_vectors(draft, vectors, rows)
    results = [
        judged(spec, "unique_codes", len(repeated), 0, rows=repeated.to_list),
        judged(spec, "current_vectors", len(others), 0, rows=others.to_list),
        judged(spec, "code_collisions", share, policy.max_code_collisions, rows=shared.to_list),
    ]
    return results + (_moves(draft, spec, pin, rows, policy) if pin else [])


def _vectors(draft: Draft, spec: CodesSpec) -> AnySpec | None:
    """What the codes are of; None if it would not be released, which the gate of lineage refuses."""
    return next((known for known, _ in draft.tables if known.digest == spec.vector_digest), None)


def _of_other_vectors(draft: Draft, vectors: AnySpec | None, rows: pl.DataFrame) -> pl.Series:
    """Ids whose codes are not of the vector that would be released beside them, or that lack codes."""
    marks = [c.ID, c.TEXT_DIGEST]
    coded = rows.select(marks)
    current = draft.rows(vectors, marks) if vectors is not None else coded
    other = [coded.join(current, on=marks, how="anti"), current.join(coded, on=marks, how="anti")]
    return pl.concat(other)[c.ID].unique().sort()


def _repeated(rows: pl.DataFrame, columns: list[str]) -> pl.Series:
    """Ids of rows that share some columns with another row; those of the largest group first."""
    counted = rows.with_columns(pl.len().over(columns).alias("sharing")).filter(pl.col("sharing") > 1)
    return counted.sort("sharing", *columns, c.ID, descending=[True, *[False] * (len(columns) + 1)])[c.ID]


def _moves(
    draft: Draft, spec: CodesSpec, pin: TablePin, rows: pl.DataFrame, policy: GatePolicy
) -> list[GateResult]:
    """How many codes differ from the parent's; with the same codebooks, those too that had no reason to."""
    before = draft.rows_before(pin, _ROWS)
    common = before.join(rows, on=c.ID, suffix="_now")
    names = (c.CODES, c.COLLISION)
    differs = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_now") for name in names)
    moved = common.filter(differs).sort(c.ID)
    results: list[GateResult] = []
    same_codebooks = _coding(pin.spec) == _coding(spec)
    if same_codebooks:
        same_text = pl.col(c.TEXT_DIGEST) == pl.col(f"{c.TEXT_DIGEST}_now")
        unexplained, still = moved.filter(same_text)[c.ID], max(common.filter(same_text).height, 1)
        limit = policy.max_unexplained_moves
        value = len(unexplained) / still
        results.append(judged(spec, "unexplained_moves", value, limit, rows=unexplained.to_list))
    if common.height >= policy.min_compared:
        share = code_churn(before, rows, against=pin.spec.digest).moved_share
        note = "" if same_codebooks else "the codebooks, or the beam, are not the parent's"
        ids = moved[c.ID].to_list
        results.append(judged(spec, "code_churn", share, policy.max_code_churn, rows=ids, note=note))
    return results


def _coding(spec: AnySpec) -> tuple[str, int] | None:
    """What decides which codes a vector gets."""
    return (spec.codebook, spec.beam_size) if isinstance(spec, CodesSpec) else None

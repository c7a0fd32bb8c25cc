"""Semantic ids from a vector feature: coded, told apart by a digit, measured, stored.

The codebooks of a feature view stay what they are until new ones are asked for. With the same codebooks new
entities are coded, entities whose text changed are coded again, and all others keep what they have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from featurestore import columns as c
from featurestore.codes.collision_digits import ROWS_PER_COMMIT, issue_digits, issued_table
from featurestore.codes.generations import (
    CURRENT,
    Generation,
    SemanticIdOptions,
    choose_generation,
    coded_specs,
)
from featurestore.codes.quality import (
    CodesChurn,
    CodesQuality,
    code_churn,
    measure_codes,
    read_code_quality,
    store_quality,
)
from featurestore.codes.residual_quantizer import encode
from featurestore.codes.vector_rows import VectorRows, newest_vectors
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import new_run_id
from featurestore.progress import Progress, no_progress
from featurestore.schema import CODES
from featurestore.spec import CodesSpec, table_name
from featurestore.store import Store, TableVersion

_MEASURED_ROWS = 20_000
_MEASURE_SEED = 20240229
_STEPS = 4
_STORED = [c.ID, c.CODES, c.COLLISION, c.TEXT_DIGEST, c.EVENT_SET]
_NO_ROWS = pl.DataFrame(
    schema={
        c.ID: pl.String,
        c.CODES: pl.List(pl.Int32),
        c.COLLISION: pl.Int32,
        c.TEXT_DIGEST: pl.String,
        c.EVENT_SET: pl.String,
    }
)


@dataclass(frozen=True, slots=True)
class CodesReport:
    """The outcome of `build_codes`.

    Attributes:
        spec: The codes' spec, now the head of its feature view.
        table: Where the codes are.
        trained: Whether new codebooks were trained.
        warm_start: Digest of the codebooks that their training started from, if it started from some.
        changed: False if everything stood as it is already and nothing was written.
        num_coded: Entities whose codes were computed, because they are new or their text changed.
        num_new: Entities that had no semantic id before.
        num_gone: Entities whose semantic id was removed, because their vector is gone.
        churn: Against the codes that stood before; None if there were none.
        quality: What was measured.
    """

    spec: CodesSpec
    table: TableVersion
    trained: bool
    warm_start: str | None
    changed: bool
    num_coded: int
    num_new: int
    num_gone: int
    churn: CodesChurn | None
    quality: CodesQuality


def build_codes(
    store: Store,
    *,
    feature: str,
    view: str,
    options: SemanticIdOptions,
    codebook: str = CURRENT,
    progress: Progress = no_progress,
) -> CodesReport:
    """Bring the semantic ids of a vector feature up to date and make them the head of its view.

    Holds the vectors that it codes in memory, and a bounded sample of all to measure on. It may be stopped at
    any moment: the next run goes on, and gives the same ids.

    Args:
        store: Holds the vectors.
        feature: Vector feature.
        view: View of it; the semantic ids have the same name.
        options: How codebooks are trained.
        codebook: Which codebooks to code with, see `choose_generation`.
        progress: Told of steps.

    Raises:
        UnknownNameError: If the store has no such vectors, or no such codebooks.
        UsageError: If the options and the current codebooks contradict each other.
        EmbeddingSpaceError: If the codebooks are of another encoder than the vectors.
        InputError: If there are no vectors, or too few to train on.
        LockHeldError: If another job makes semantic ids of this feature view.
    """
    with FeatureLock(store.objects, f"codes.{feature}.{view}") as lock:
        progress(0, _STEPS, "reading what the vectors were made of")
        vectors = newest_vectors(store, feature, view)
        progress(1, _STEPS, "opening or training codebooks")
        generation = choose_generation(store, vectors, codebook=codebook, options=options)
        progress(2, _STEPS, "coding")
        earlier = coded_specs(store, feature, view)
        report = _code(store, vectors, generation, earlier, lock)
        lock.check()
        FeatureRegistry(store).register(report.spec)
        progress(_STEPS, _STEPS)
        return report


def _code(
    store: Store, vectors: VectorRows, generation: Generation, earlier: Sequence[CodesSpec], lock: FeatureLock
) -> CodesReport:
    spec = generation.spec
    head = earlier[0] if earlier else None
    before = _rows_of(store, head) if head else _NO_ROWS
    own = before if head == spec else _rows_of(store, spec)
    known = own if head == spec else _with_rows_of_earlier_vectors(store, spec, own, earlier)
    kept = vectors.marks.join(known.drop(c.EVENT_SET), on=[c.ID, c.TEXT_DIGEST]).select(_STORED)
    marks = vectors.marks.join(kept, on=c.ID, how="anti")
    fresh = _fresh(store, vectors, generation, marks, before=before, lock=lock)
    rows = pl.concat([kept, fresh])
    written = _write(store, spec, rows, own, lock)
    version = store.latest(table_name(spec))
    assert version is not None, "there are vectors, so rows were written now or before"
    return CodesReport(
        spec=spec,
        table=version,
        trained=generation.trained,
        warm_start=generation.codebooks.origin.warm_start if generation.trained else None,
        changed=written or head != spec,
        num_coded=fresh.height,
        num_new=rows.join(before, on=c.ID, how="anti").height,
        num_gone=before.join(rows, on=c.ID, how="anti").height,
        churn=code_churn(before, rows, against=head.digest) if head else None,
        quality=_quality(store, version, rows, vectors, generation),
    )


def _rows_of(store: Store, spec: CodesSpec) -> pl.DataFrame:
    table = table_name(spec)
    return _NO_ROWS if store.latest(table) is None else pl.DataFrame(store.read(table, columns=_STORED))


def _with_rows_of_earlier_vectors(
    store: Store, spec: CodesSpec, own: pl.DataFrame, earlier: Sequence[CodesSpec]
) -> pl.DataFrame:
    """``own`` rows, and of other ids what the same codebooks and beam gave last, under another spec."""
    same = [e for e in earlier if (e.codebook, e.beam_size) == (spec.codebook, spec.beam_size) and e != spec]
    return pl.concat([own, _rows_of(store, same[0])]).unique(c.ID, keep="first") if same else own


def _fresh(
    store: Store,
    vectors: VectorRows,
    generation: Generation,
    marks: pl.DataFrame,
    *,
    before: pl.DataFrame,
    lock: FeatureLock,
) -> pl.DataFrame:
    """Rows of entities that are coded now. Equal texts are coded once, and so have equal codes."""
    if marks.is_empty():
        return _NO_ROWS
    distinct = marks.unique(c.TEXT_DIGEST, keep="first", maintain_order=True)
    codes = encode(
        generation.codebooks.project(vectors.matrix(distinct[c.ID].to_list())),
        generation.codebooks.centroids,
        beam_size=generation.spec.beam_size,
    )
    of_text = distinct.select(c.TEXT_DIGEST, pl.Series(c.CODES, codes).arr.to_list())
    coded = marks.join(of_text, on=c.TEXT_DIGEST, maintain_order="left")
    digits = issue_digits(store, issued_table(generation.spec), coded, before=before, lock=lock)
    return coded.with_columns(digits).select(_STORED)


def _write(
    store: Store, spec: CodesSpec, rows: pl.DataFrame, stored: pl.DataFrame, lock: FeatureLock
) -> bool:
    """Make the spec's table hold ``rows`` in place of ``stored``; False if they are equal."""
    table = table_name(spec)
    marks = [c.ID, c.TEXT_DIGEST, c.EVENT_SET]
    changed = rows.join(stored, on=marks, how="anti", nulls_equal=True).sort(c.ID)
    gone = stored.join(rows, on=c.ID, how="anti")[c.ID].sort().to_list()
    changed = changed.with_columns(pl.lit(new_run_id()).alias(c.RUN_ID)).select(CODES.names)
    for batch in changed.iter_slices(ROWS_PER_COMMIT):
        lock.check()
        store.upsert(table, batch.to_arrow().cast(CODES), key=c.ID)
    if gone:
        lock.check()
        store.delete(table, gone, key=c.ID)
    return bool(gone) or not changed.is_empty()


def _quality(
    store: Store, version: TableVersion, rows: pl.DataFrame, vectors: VectorRows, generation: Generation
) -> CodesQuality:
    """What is kept of this version, or is measured and kept now."""
    quality = read_code_quality(store, version.table, version.version)
    if quality is None:
        ids = vectors.sample(_MEASURED_ROWS, seed=_MEASURE_SEED)
        quality = measure_codes(rows, codebooks=generation.codebooks, ids=ids, vectors=vectors.matrix(ids))
        store_quality(store, version.table, version.version, quality)
    return quality

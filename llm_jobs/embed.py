"""Texts of the store to vectors of the store: only what changed is encoded, equal texts only once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore import schema
from featurestore.adapters import has_adapter
from featurestore.errors import InputError
from featurestore.features import FeatureRegistry, FeatureVersion
from featurestore.ids import digest_bytes
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import new_run_id
from featurestore.point_in_time import joined_event_set
from featurestore.progress import Progress, no_progress
from featurestore.spec import VectorSpec, table_name
from featurestore.splits import every_split
from featurestore.store import Store
from llm_jobs.encoder import TextEncoder
from llm_jobs.entries import EncoderEntry
from llm_jobs.model_folder import copied_adapter

_MAX_ROWS_PER_COMMIT = 4_000


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """What an embed job did.

    Attributes:
        spec: The vectors' spec.
        table: The table that holds them.
        num_texts: Texts of the view, one vector each.
        num_current: Vectors that were there already.
        num_encoded: Texts that went through the encoder.
        num_reused: Rows written with the vector of an equal text.
        num_deleted: Vectors dropped because their text is gone.
        num_failed_texts: Rows of the view that hold no text; they get no vector.
        seconds: Time spent encoding and storing.
    """

    spec: VectorSpec
    table: str
    num_texts: int
    num_current: int
    num_encoded: int
    num_reused: int
    num_deleted: int
    num_failed_texts: int
    seconds: float


def embed(
    store: Store,
    *,
    feature: str,
    view: str,
    encoder: TextEncoder,
    learned_from: str | None = None,
    batch_size: int = 2_048,
    progress: Progress = no_progress,
) -> EmbedReport:
    """Encode the current texts of a feature view and make the vectors its head.

    A row is written if its text or event set is not the one its vector was made of. Vectors of equal texts
    are taken over, from this version or the head before it if that has the same encoder. Rows are committed
    batch by batch: a job that was stopped goes on where it stopped.

    Args:
        store: A store that holds texts of ``feature``.
        feature: Name of the text feature.
        view: Its view, such as ``fused``.
        encoder: Makes the vectors; give it many texts at once, it sorts them by length.
        learned_from: Events that the encoder learned from, see `events_learned_by`; every row names them too.
        batch_size: Rows per commit, 1 to 4,000.
        progress: Told about rows written.

    Raises:
        UnknownNameError: Listing the text views the store holds.
        InputError: If the view holds no text at all.
        LeakError: If texts read the events of another split than the encoder learned from.
        LockHeldError: If another job writes these vectors.
    """
    started = time.monotonic()
    registry = FeatureRegistry(store)
    source = registry.head("text", feature, view)
    spec = VectorSpec(
        feature=feature,
        view=view,
        entity=source.spec.entity,
        text_digest=source.spec.digest,
        encoder=encoder.spec,
    )
    table = table_name(spec)
    with FeatureLock(store.objects, table) as lock:
        texts, num_failed = _read_texts(store, source, learned_from)
        stored = _read_marks(store, table)
        stale = _stale(texts, stored)
        writer = _Writer(store, table, lock, encoder, known=_known_vectors(store, spec, stale))
        size = min(batch_size, _MAX_ROWS_PER_COMMIT)
        for start in range(0, stale.height, size):
            writer.write(stale.slice(start, size))
            progress(min(start + size, stale.height), stale.height)
        gone = stored.join(texts, on=c.ID, how="anti")[c.ID].sort().to_list()
        if gone:
            lock.check()
            store.delete(table, gone, key=c.ID)
        registry.register(spec)
    return EmbedReport(
        spec=spec,
        table=table,
        num_texts=texts.height,
        num_current=texts.height - stale.height,
        num_encoded=writer.num_encoded,
        num_reused=stale.height - writer.num_encoded,
        num_deleted=len(gone),
        num_failed_texts=num_failed,
        seconds=time.monotonic() - started,
    )


def events_learned_by(store: Store, entry: EncoderEntry) -> str | None:
    """The events of a store that an entry's adapter learned from; None if it learned from none of them.

    Another shop's adapter learned from a split that this store does not know: its events are nobody's here.

    Raises:
        SetupError: If the entry's adapter is a damaged copy of a store's.
    """
    adapter = copied_adapter(Path(entry.adapter)) if entry.adapter is not None else None
    events = adapter.origin.event_set if adapter is not None else None
    if adapter is None or events is None:
        return None
    is_known = any(events.startswith(split.event_set("")) for split in every_split(store))
    return events if is_known or has_adapter(store.objects, adapter.digest) else None


def text_views(store: Store, feature: str) -> list[str]:
    """Views of a text feature that the store holds, sorted; empty if it holds none."""
    return [v.spec.view for v in FeatureRegistry(store).heads("text") if v.spec.feature == feature]


class _Writer:
    """Writes vector rows, and encodes each text that is not known yet once.

    Args:
        store: Where to.
        table: Table of vectors.
        lock: Allows to write it.
        encoder: Makes them.
        known: Text digest → vector, for texts that were encoded before.
    """

    def __init__(
        self,
        store: Store,
        table: str,
        lock: FeatureLock,
        encoder: TextEncoder,
        *,
        known: dict[str, npt.NDArray[np.float32]],
    ) -> None:
        self._store = store
        self._table = table
        self._lock = lock
        self._encoder = encoder
        self._known = known
        self._run_id = new_run_id()
        self.num_encoded = 0

    def write(self, rows: pl.DataFrame) -> None:
        """Commit a batch of (id, text, text_digest, event_set) rows, which comes sorted by text digest."""
        unique = rows.unique(c.TEXT_DIGEST, maintain_order=True)
        dim = self._encoder.spec.embedding_dim
        is_known = unique[c.TEXT_DIGEST].is_in(list(self._known))
        matrix = np.empty((unique.height, dim), np.float32)
        matrix[(~is_known).to_numpy()] = self._encode(unique.filter(~is_known)[c.TEXT].to_list())
        for row in np.flatnonzero(is_known.to_numpy()):
            matrix[row] = self._known[unique[c.TEXT_DIGEST][int(row)]]
        position = unique.select(c.TEXT_DIGEST).with_row_index("position")
        take = rows.join(position, on=c.TEXT_DIGEST, how="left", maintain_order="left")["position"].to_numpy()
        self._lock.check()
        self._store.upsert(self._table, self._table_of(rows, matrix[take]), key=c.ID)

    def _encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.num_encoded += len(texts)
        return self._encoder.encode(texts)

    def _table_of(self, rows: pl.DataFrame, matrix: npt.NDArray[np.float32]) -> pa.Table:
        dim = matrix.shape[1]
        columns: list[pa.Array] = [
            pa.array(rows[c.ID].to_list(), pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel(), pa.float32()), dim),
            pa.array(rows[c.TEXT_DIGEST].to_list(), pa.string()),
            pa.array(rows[c.EVENT_SET].to_list(), pa.string()),
            pa.array([self._run_id] * rows.height, pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=schema.vectors(dim))


def _read_texts(store: Store, source: FeatureVersion, learned_from: str | None) -> tuple[pl.DataFrame, int]:
    """(id, text, text_digest, event_set) of the rows that hold a text, and how many hold none."""
    read = store.read(source.table, columns=[c.ID, c.STATUS, c.TEXT, c.EVENT_SET])
    rows = pl.DataFrame(read)
    texts = rows.filter(pl.col(c.STATUS) == c.STATUS_OK).drop(c.STATUS)
    if texts.is_empty():
        raise InputError(
            f"text feature {source.spec.feature}.{source.spec.view} holds no text to encode "
            f"({rows.height} failed rows).",
            hint="Look at the reasons with `featurestore show`, then generate again.",
        )
    digests = [digest_bytes(text.encode()) for text in texts[c.TEXT].to_list()]
    texts = texts.with_columns(pl.Series(c.TEXT_DIGEST, digests))
    if learned_from is not None:
        named = texts[c.EVENT_SET].unique().to_list()
        joined = {name: joined_event_set({learned_from} | ({name} if name else set())) for name in named}
        texts = texts.with_columns(pl.col(c.EVENT_SET).replace_strict(joined, return_dtype=pl.String))
    return texts, rows.height - texts.height


def _read_marks(store: Store, table: str) -> pl.DataFrame:
    """(id, text_digest, event_set) of the stored vectors."""
    names = [c.ID, c.TEXT_DIGEST, c.EVENT_SET]
    if store.latest(table) is None:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    return pl.DataFrame(store.read(table, columns=names))


def _stale(texts: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Rows whose vector is absent or of another text or event set; equal texts beside each other."""
    marks = [c.ID, c.TEXT_DIGEST, c.EVENT_SET]
    return texts.join(stored, on=marks, how="anti", nulls_equal=True).sort(c.TEXT_DIGEST, c.ID)


def _known_vectors(store: Store, spec: VectorSpec, stale: pl.DataFrame) -> dict[str, npt.NDArray[np.float32]]:
    """Vectors of stale rows' texts that some table of the same embedding space holds already."""
    known: dict[str, npt.NDArray[np.float32]] = {}
    if stale.is_empty():
        return known
    wanted = stale.select(c.TEXT_DIGEST).unique()
    for table in _tables_of_same_space(store, spec):
        marks = pl.DataFrame(store.read(table, columns=[c.ID, c.TEXT_DIGEST]))
        found = marks.join(wanted, on=c.TEXT_DIGEST, how="semi").unique(c.TEXT_DIGEST)
        if found.is_empty():
            continue
        rows = store.read(table, columns=[c.TEXT_DIGEST, c.VECTOR], ids=found[c.ID].to_list())
        known.update(zip(rows[c.TEXT_DIGEST].to_pylist(), _matrix(rows), strict=True))
    return known


def _tables_of_same_space(store: Store, spec: VectorSpec) -> list[str]:
    tables = {table_name(spec)}
    for head in FeatureRegistry(store).heads("vector"):
        own = head.spec
        if isinstance(own, VectorSpec) and (own.feature, own.view) == (spec.feature, spec.view):
            tables.update({head.table} if own.encoder == spec.encoder else ())
    return sorted(table for table in tables if store.latest(table) is not None)


def _matrix(rows: pa.Table) -> npt.NDArray[np.float32]:
    column = rows[c.VECTOR].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(rows.num_rows, -1)

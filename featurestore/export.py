"""Export: a released feature as a Parquet file, or its vectors as an npy matrix with their ids."""

import json
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.errors import FeatureStoreError, InputError, StorageFullError, UsageError
from featurestore.objects import disk_error
from featurestore.reader import Embeddings, Release

ExportKind = Literal["text", "vector", "graph", "codes"]
EXPORT_KINDS: Final[tuple[ExportKind, ...]] = get_args(ExportKind)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written.

    Attributes:
        release: Number of the release that was read.
        feature: Such as ``item_cot``.
        view: The view that was read.
        kind: What was read of it.
        rows: Rows written.
        files: The files, absolute or as given.
    """

    release: int
    feature: str
    view: str
    kind: ExportKind
    rows: int
    files: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def export_feature(
    release: Release,
    feature: str,
    *,
    out: Path,
    view: str | None = None,
    kind: ExportKind | None = None,
    allow_parts: Collection[str] = (c.TRAIN,),
) -> ExportReport:
    """Write one feature view of a release; a file that is there is replaced once the new one is complete.

    ``F.parquet`` gets the good texts (columns of `featurestore.schema.TEXTS`), ids and vectors, the edges of
    a graph, or semantic ids. ``F.npy`` gets the (n, d) float32 matrix and ``F.ids.json`` its ids, release and
    spec.

    Args:
        release: An open release.
        feature: Such as ``item_cot``.
        out: ``….parquet`` or ``….npy``.
        view: As in `Release.texts`.
        kind: By default ``vector`` for npy; for Parquet ``text``, or ``vector`` if there are no texts.
        allow_parts: As in `Release.texts`.

    Raises:
        UsageError: If the file's name ends otherwise, or other things than vectors are asked for as npy.
        InputError: If the file's folder does not exist, or the system lets nobody write the file.
        StorageFullError: If the disk is full; nothing is left behind.
        UnknownNameError: Listing the features, or the views, there are.
        LeakError: If the feature read events of another part.
    """
    chosen = _kind(release, feature, out, kind)
    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist.", hint="Make it, or choose another --out.")
    name = release.pin(chosen, feature, view).spec.view
    if out.suffix == ".npy":
        embeddings = release.embeddings(feature, view, allow_parts=allow_parts)
        return ExportReport(
            release.number, feature, name, chosen, len(embeddings), _write_npy(out, release, embeddings)
        )
    rows = _rows(release, chosen, feature, name, allow_parts)
    _replace(out, rows.write_parquet)
    return ExportReport(release.number, feature, name, chosen, rows.height, (str(out),))


def _rows(
    release: Release, kind: ExportKind, feature: str, view: str, allow_parts: Collection[str]
) -> pl.DataFrame:
    match kind:
        case "text":
            return release.texts(feature, view, allow_parts=allow_parts)
        case "vector":
            return release.embeddings(feature, view, allow_parts=allow_parts).to_polars()
        case "graph":
            return release.graph(feature, view, allow_parts=allow_parts).to_polars()
        case "codes":
            return release.semantic_ids(feature, view, allow_parts=allow_parts).to_polars()


def _kind(release: Release, feature: str, out: Path, kind: ExportKind | None) -> ExportKind:
    if out.suffix not in {".parquet", ".npy"}:
        raise UsageError(
            f"cannot tell the format of {out.name!r}.", hint="End the file's name in .parquet or .npy."
        )
    if out.suffix == ".npy" and kind not in {None, "vector"}:
        raise UsageError(
            f"only vectors are written as npy, not kind {kind!r}.", hint="End the file's name in .parquet."
        )
    if kind is not None:
        return kind
    has_texts = any(pin.spec.feature == feature for pin in release.features("text"))
    has_vectors = any(pin.spec.feature == feature for pin in release.features("vector"))
    return "vector" if out.suffix == ".npy" or (has_vectors and not has_texts) else "text"


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        write(partial)
        partial.replace(target)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _write_error(error, target) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _write_error(error: Exception, target: Path) -> FeatureStoreError:
    full = disk_error(error, str(target))
    if isinstance(full, StorageFullError):
        return full
    reason = str(getattr(error, "strerror", None) or error).lower()
    return InputError(f"{target} cannot be written: {reason}.", hint="Choose another --out.")


def _write_npy(out: Path, release: Release, embeddings: Embeddings) -> tuple[str, ...]:
    ids = out.with_suffix(".ids.json")
    _replace(ids, lambda path: _write_ids(path, release, embeddings))
    _replace(out, lambda path: _write_matrix(path, embeddings))
    return str(out), str(ids)


def _write_matrix(path: Path, embeddings: Embeddings) -> None:
    with path.open("wb") as file:
        np.save(file, embeddings.matrix, allow_pickle=False)


def _write_ids(path: Path, release: Release, embeddings: Embeddings) -> None:
    spec = embeddings.spec.model_dump(mode="json")
    data = {"release": release.number, "spec": spec, "ids": embeddings.ids}
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")

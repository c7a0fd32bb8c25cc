"""Fragments of a LanceDB table: which there are, what one holds, and what a later version deleted of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import MissingVersionError
from featurestore.store import Fragment

if TYPE_CHECKING:
    from lance import LanceDataset, LanceFragment

_ROW_ADDRESS = "_rowaddr"
_ROW_ID = "_rowid"
"""Null in rows that were deleted."""


def list_fragments(dataset: "LanceDataset") -> list[Fragment]:
    """The fragments of a version. Costs its manifest, which names files and counts rows."""
    return [
        Fragment(
            name=_name(each),
            deleted=each.deletion_file() or "",
            num_rows=each.physical_rows - each.num_deletions,
        )
        for each in dataset.get_fragments()
    ]


def live_rows(dataset: "LanceDataset", name: str) -> pa.Table:
    """The rows that a version has of a fragment.

    Raises:
        MissingVersionError: If it has no such fragment.
    """
    return _find(dataset, name).to_table()


def rows_gone_from(later: "LanceDataset", earlier: "LanceDataset", name: str) -> pa.Table:
    """The rows that one version has of a fragment and a later one has not. Reads these rows only.

    Raises:
        MissingVersionError: If one of them has no such fragment.
    """
    before, after = _addresses(earlier, name), _addresses(later, name)
    gone = np.flatnonzero(~np.isin(before, after, assume_unique=True))
    return _find(earlier, name).take(gone.tolist())


def deleted_rows(dataset: "LanceDataset", columns: Sequence[str]) -> pa.Table:
    """Rows that were deleted, or replaced, and that files of the version still hold. Reads those files."""
    touched = [fragment for fragment in dataset.get_fragments() if fragment.num_deletions]
    if not touched:
        return dataset.schema.empty_table().select(list(columns))
    scanner = dataset.scanner(
        columns=list(columns), fragments=touched, include_deleted_rows=True, with_row_id=True
    )
    rows = scanner.to_table()
    return rows.filter(pc.field(_ROW_ID).is_null()).select(list(columns))


def rewrite_without_deleted(dataset: "LanceDataset") -> None:
    """Write every fragment with deletions anew, without the deleted rows, as the newest version.

    The newest version is another one in any case: the record of a deletion names the rows that it deleted.
    """
    untouched = [each.fragment_id for each in dataset.get_fragments() if not each.num_deletions]
    if len(untouched) == len(dataset.get_fragments()):
        dataset.restore()
    else:
        dataset.optimize.compact_files(materialize_deletions_threshold=0.0, excluded_fragment_ids=untouched)


def _name(fragment: "LanceFragment") -> str:
    return "+".join(file.path for file in fragment.metadata.files)


def _find(dataset: "LanceDataset", name: str) -> "LanceFragment":
    for fragment in dataset.get_fragments():
        if _name(fragment) == name:
            return fragment
    raise MissingVersionError(f"version {dataset.version} of {dataset.uri} has no fragment {name!r}.")


def _addresses(dataset: "LanceDataset", name: str) -> npt.NDArray[np.uint64]:
    """Where the live rows of a fragment lie in its files, ascending. Reads the list of deletions alone."""
    scanner = dataset.scanner(columns=[], fragments=[_find(dataset, name)], with_row_address=True)
    # Fragments may be numbered anew by a later version, rows within their files never are.
    return scanner.to_table()[_ROW_ADDRESS].to_numpy() & np.uint64(0xFFFFFFFF)

"""Objects and local logs without the names of a user: splits, run cards and other reports, segments, logs."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from featurestore.erasure.releases import redacted_split
from featurestore.erasure.subject import Subject
from featurestore.erasure.tables import TableEraser
from featurestore.errors import MissingVersionError
from featurestore.ids import canonical_json
from featurestore.jobs.log import SUFFIX, encode_record, read_records
from featurestore.jobs.receipts import (
    DamagedSegmentError,
    read_receipts,
    read_segment,
    replace_segment,
    runs_with_segments,
    unclaimed_segments,
)
from featurestore.objects import disk_errors
from featurestore.release import Manifest
from featurestore.source_tables import INTERACTIONS
from featurestore.spec import SourceSpec
from featurestore.splits import current_split, make_current, remove_earlier_splits
from featurestore.store import ObjectStore, Store

_OWN_RECORDS: Final = ("features/", "format/", "locks/", "releases/", "segments/", "splits/", "tables/")
"""Objects that name nobody, or are dealt with by themselves."""


def erase_splits(store: Store, eraser: TableEraser) -> None:
    """Let the current split name the redacted events, and drop the records of earlier ones."""
    split = current_split(store)
    if split is None:
        return
    spec = SourceSpec(feature="interactions", view="rows")
    place = eraser.place_of(spec, INTERACTIONS, split.interactions_version)
    if place != (INTERACTIONS, split.interactions_version):
        split = redacted_split(store, split, place)
        make_current(store, split)
    remove_earlier_splits(store)


def erase_reports(objects: ObjectStore, subject: Subject) -> int:
    """Put a mark in the place of the users' names in every JSON object: run cards, reports of refreshes.

    Returns:
        How many objects were written anew.
    """
    count = 0
    for path in objects.list(""):
        if not path.endswith(".json") or path.startswith(_OWN_RECORDS):
            continue
        with suppress(MissingVersionError, ValueError):
            stated = json.loads(objects.read(path))
            if subject.is_named_in_value(stated):
                objects.delete(path)
                objects.put_new(path, canonical_json(subject.without_names(stated)).encode())
                count += 1
    return count


def erase_snapshots(store: Store, manifests: list[Manifest]) -> None:
    """Remove the snapshots that no release pins: those of the originals among them."""
    used = {pin.snapshot for manifest in manifests for pin in manifest.pins}
    for path in store.objects.list("snapshots/"):
        if path.rpartition("/")[0] not in used:
            store.objects.delete(path)


def erase_segments(objects: ObjectStore, subject: Subject) -> int:
    """Take the users' rows out of segments that wait for their commit, and drop those that count for nothing.

    Returns:
        How many segments were written anew.
    """
    count = 0
    for run_id in runs_with_segments(objects):
        for path in unclaimed_segments(objects, run_id):
            objects.delete(path)
        for receipt in read_receipts(objects, run_id):
            with suppress(DamagedSegmentError, MissingVersionError):
                rows = read_segment(objects, receipt)
                left = [(table, row) for table, row in rows if not _names_a_user(row, subject)]
                if len(left) < len(rows):
                    replace_segment(objects, run_id, receipt, left)
                    count += 1
    return count


def erase_logs(folder: Path, subject: Subject) -> int:
    """Take the users' rows out of the logs of interrupted runs on this machine.

    Args:
        folder: A project's ``.featurestore/logs``; it need not exist.
        subject: The users.

    Returns:
        How many logs were written anew.
    """
    count = 0
    with disk_errors(f"the logs in {folder}"):
        for path in sorted(folder.glob(f"*/*{SUFFIX}")):
            records = list(read_records(path))
            left = [record for record in records if not _names_a_user(record, subject)]
            if len(left) < len(records):
                _write_log(path, left)
                count += 1
    return count


def _names_a_user(record: Mapping[str, Any], subject: Subject) -> bool:
    return any(value in subject.user_ids for value in record.values() if isinstance(value, str))


def _write_log(path: Path, records: list[dict[str, Any]]) -> None:
    """A crash leaves the old log or the new one."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.writelines(encode_record(record) for record in records)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def local_files(folder: Path) -> Iterator[Path]:
    """All files below a folder, hidden ones included; links are not followed."""
    for where, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(where) / name
            if path.is_file() and not path.is_symlink():
                yield path

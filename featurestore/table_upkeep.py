"""Compaction of any table of the store, under the lock of whoever writes it."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from featurestore.errors import LockHeldError
from featurestore.ingest import SOURCES_LOCK
from featurestore.jobs.compaction import kept_versions
from featurestore.jobs.lock import FeatureLock
from featurestore.release import Manifest
from featurestore.spec import AnySpec, CodesSpec, Frozen, SourceSpec, table_name
from featurestore.store import Store

REPORT_FOLDERS: Final = ("graphs", "codes")
"""What was measured of a table version lies beside the tables, as ``<folder>/<table>/<version>.json``."""
MERGED_FOLDER: Final = "merged"
"""``merged/<table>/<version>.json`` says which earlier version has the rows of one that compaction made."""


class MergedVersion(Frozen):
    """What is kept of a version that compaction made."""

    rows_of: int


def writers_lock(store: Store, spec: AnySpec) -> FeatureLock:
    """The lock that every job holds which writes the spec's table."""
    match spec:
        case SourceSpec():
            name = SOURCES_LOCK
        case CodesSpec():
            name = f"codes.{spec.feature}.{spec.view}"
        case _:
            name = table_name(spec)
    return FeatureLock(store.objects, name)


def compact_table(
    store: Store, table: str, lock: FeatureLock, manifests: Collection[Manifest] | None, *, grace: timedelta
) -> bool:
    """Merge small files of a table and remove versions that nobody needs, see `Store.compact`.

    Args:
        store: Holds the table.
        table: Its name.
        lock: That of its writers, not held yet.
        manifests: Releases whose versions stay; None if not all can be read: then every version stays.
        grace: Versions that were replaced more recently stay too.

    Returns:
        False if a job is writing the table: then nothing was done.

    Raises:
        StorageFullError: If there is no room for the merged files.
    """
    try:
        with lock:
            before = store.latest(table)
            if before is None:
                return True
            lock.check()
            store.compact(table, keep_versions=kept_versions(store, table, manifests), grace=grace)
            after = store.latest(table)
            if after is not None and after.version != before.version and after.num_rows == before.num_rows:
                _copy_reports(store, table, before.version, after.version)
                _record_merge(store, table, before.version, after.version)
    except LockHeldError:
        return False
    return True


def version_merged(store: Store, table: str, version: int) -> int:
    """The version whose rows a version has: an earlier one, if nothing but compaction came in between."""
    path = _merge_path(table, version)
    if store.objects.list(path) != [path]:
        return version
    return MergedVersion.model_validate_json(store.objects.read(path)).rows_of


def report_paths(table: str, version: int) -> list[str]:
    """Where it may lie what was measured of a table version."""
    return [f"{folder}/{table}/{version:06d}.json" for folder in REPORT_FOLDERS]


def _record_merge(store: Store, table: str, before: int, after: int) -> None:
    record = MergedVersion(rows_of=version_merged(store, table, before))
    store.objects.put_new(_merge_path(table, after), record.model_dump_json().encode())


def _merge_path(table: str, version: int) -> str:
    return f"{MERGED_FOLDER}/{table}/{version:06d}.json"


def _copy_reports(store: Store, table: str, before: int, after: int) -> None:
    """The merged version holds the same rows, so what was measured holds for it as well."""
    for path, copy in zip(report_paths(table, before), report_paths(table, after), strict=True):
        if store.objects.list(path) == [path]:
            store.objects.put_new(copy, store.objects.read(path))

"""Compaction of a LanceDB table: small fragments become larger ones, old versions go.

Fragments are merged as in a binary counter: one takes part only if the newer ones together hold as many rows.
So a row is rewritten once each time the number of rows after it doubles, and a large table is not copied
because a little was added to it.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypedDict, cast

from featurestore.store import VersionAge

if TYPE_CHECKING:
    from lance import LanceDataset

MIN_MERGED_FRAGMENTS: Final = 8
"""Fewer small fragments are left as they are."""
MAX_DELETED_SHARE: Final = 0.5
"""A fragment of which more was deleted is written anew, without the deleted rows."""
_TAG: Final = "kept-"


class _ListedVersion(TypedDict):
    """What pylance lists, whatever its stub says of the timestamp (local time, without a zone)."""

    version: int
    timestamp: datetime


def merge_fragments(dataset: "LanceDataset") -> None:
    """Write small fragments together, and half-deleted ones anew, as one new version if there are any."""
    fragments = [
        (each.fragment_id, each.physical_rows, each.num_deletions) for each in dataset.get_fragments()
    ]
    num_merged = _num_merged([rows for _, rows, _ in fragments])
    kept_whole = fragments[: len(fragments) - num_merged]
    untouched = [number for number, rows, deleted in kept_whole if deleted <= MAX_DELETED_SHARE * rows]
    if len(untouched) < len(fragments):
        dataset.optimize.compact_files(
            materialize_deletions_threshold=MAX_DELETED_SHARE, excluded_fragment_ids=untouched
        )


def remove_versions(dataset: "LanceDataset", keep_versions: Collection[int], grace: timedelta) -> None:
    """Remove all versions but the newest, the kept ones, and those replaced within the time of grace.

    Kept versions are tagged, so that other Lance tools keep them too.
    """
    versions = ages(dataset)
    _tag(dataset, {each.version for each in versions if each.version in keep_versions})
    removable = [
        each.version
        for each, replacement in pairwise(versions)
        if each.version not in keep_versions and replacement.age >= grace
    ]
    if removable:
        dataset.cleanup_old_versions(
            older_than=timedelta(0), versions=removable, error_if_tagged_old_versions=False
        )


def ages(dataset: "LanceDataset") -> list[VersionAge]:
    """All versions, oldest first, and how long ago each was committed."""
    now = datetime.now(UTC)
    listed = cast("list[_ListedVersion]", dataset.versions())
    return [VersionAge(each["version"], now - each["timestamp"].astimezone(UTC)) for each in listed]


def protect_version(dataset: "LanceDataset", version: int) -> None:
    """Tag a version, if it is not tagged."""
    if f"{_TAG}{version}" not in dataset.tags.list():
        dataset.tags.create(f"{_TAG}{version}", version)


def _num_merged(sizes: list[int]) -> int:
    """How many of the newest fragments to merge; 0 if too few are small."""
    newest = sizes[-MIN_MERGED_FRAGMENTS:]
    usual = 2 * sum(newest) // max(1, len(newest))
    total, count = 0, 0
    for size in reversed(sizes):
        if size > max(total, usual):
            break
        total, count = total + size, count + 1
    return count if count >= MIN_MERGED_FRAGMENTS else 0


def _tag(dataset: "LanceDataset", versions: set[int]) -> None:
    tagged = {int(name.removeprefix(_TAG)) for name in dataset.tags.list() if name.startswith(_TAG)}
    for version in tagged - versions:
        dataset.tags.delete(f"{_TAG}{version}")
    for version in versions - tagged:
        protect_version(dataset, version)

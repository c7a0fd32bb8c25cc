"""Garbage collection: what nothing refers to goes, and what stays is compacted.

Order: manifests → tables → versions → objects, with the publish lock held. A crash leaves garbage that the
next run finds; no manifest is ever left whose data are gone.
"""

from collections.abc import Collection
from dataclasses import dataclass

from featurestore.errors import LockHeldError
from featurestore.features import FeatureRegistry
from featurestore.jobs.answers import ANSWERS_TABLE
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.release import ReleaseCatalog
from featurestore.releases.chosen_versions import SOURCE_PREFIX
from featurestore.releases.garbage import (
    Garbage,
    codebook_paths,
    find_garbage,
    reported_table,
    tables_of,
)
from featurestore.releases.promote import aliases_lock
from featurestore.releases.publish import PUBLISH_LOCK
from featurestore.releases.retention import GcPolicy, kept_releases
from featurestore.spec import AnySpec, CodesSpec, SourceSpec
from featurestore.store import Store
from featurestore.table_upkeep import compact_table, writers_lock


@dataclass(frozen=True, slots=True)
class GcReport:
    """What was collected, or would be.

    Attributes:
        garbage: What was found.
        collected: False if it was only looked at.
        busy: Tables that a job was writing: they are left to the next run.
        bytes_before: What the store took, everything together.
        bytes_after: What it takes now.
    """

    garbage: Garbage
    collected: bool
    busy: tuple[str, ...]
    bytes_before: int
    bytes_after: int


def gc(
    store: Store, policy: GcPolicy, *, dry_run: bool = False, progress: Progress = no_progress
) -> GcReport:
    """Remove what no kept release, head, split or running job needs, and merge small files.

    Args:
        store: The store.
        policy: What is kept.
        dry_run: Find, and remove nothing.
        progress: Told per table.

    Raises:
        LockHeldError: If another process makes or removes releases of this store.
        StoreError: If a manifest or a move of an alias is damaged: nothing is removed then.
        StorageFullError: If there is no room for merged files.
    """
    with FeatureLock(store.objects, PUBLISH_LOCK) as lock:
        before = _num_bytes(store)
        garbage = find_garbage(store, policy)
        if dry_run:
            return GcReport(garbage, False, (), before, before)
        garbage = _without_releases(store, policy, garbage)
        undropped = _drop_tables(store, garbage, lock)
        busy = [*undropped, *_compact_tables(store, garbage, policy, lock, progress)]
        _delete_objects(store, garbage, undropped, lock)
        return GcReport(garbage, True, tuple(busy), before, _num_bytes(store))


def _without_releases(store: Store, policy: GcPolicy, garbage: Garbage) -> Garbage:
    """Remove releases first of all: from now on nobody opens one whose data go.

    Returns:
        What goes with them: found anew, if an alias was moved since.
    """
    catalog = ReleaseCatalog(store)
    with aliases_lock(store) as lock:
        if kept_releases(store, policy) != list(garbage.kept):
            garbage = find_garbage(store, policy)
        for number in garbage.releases:
            lock.check()
            catalog.remove(number)
        for path in garbage.moves:
            store.objects.delete(path)
    return garbage


def _drop_tables(store: Store, garbage: Garbage, lock: FeatureLock) -> list[str]:
    """Drop abandoned tables, unless a job has taken one up again; returns those."""
    busy: list[str] = []
    for table, spec in garbage.tables.items():
        lock.check()
        try:
            with writers_lock(store, spec):
                if any(head.spec == spec for head in FeatureRegistry(store).heads(spec.kind)):
                    busy.append(table)
                else:
                    store.drop(table)
        except LockHeldError:
            busy.append(table)
    for table in garbage.pasts:
        lock.check()
        store.drop(table)
    return busy


def _compact_tables(
    store: Store, garbage: Garbage, policy: GcPolicy, lock: FeatureLock, progress: Progress
) -> list[str]:
    """Remove old versions and merge small files; returns the tables that jobs are writing."""
    catalog = ReleaseCatalog(store)
    manifests = catalog.manifests()
    specs = {table: spec for spec in _every_spec(store) for table in tables_of([spec])}
    tables = [table for table in store.tables() if table not in {ANSWERS_TABLE, *garbage.tables}]
    busy: list[str] = []
    for done, table in enumerate(tables):
        progress(done, len(tables), table)
        lock.check()
        spec = specs.get(table)
        writers = writers_lock(store, spec) if spec else FeatureLock(store.objects, table)
        if not compact_table(store, table, writers, manifests, grace=policy.grace):
            busy.append(table)
    progress(len(tables), len(tables))
    return busy


def _delete_objects(store: Store, garbage: Garbage, undropped: Collection[str], lock: FeatureLock) -> None:
    """Delete snapshots, reports and codebooks, but for those of what a job has taken up again."""
    makers = {
        path: version.spec
        for version in FeatureRegistry(store).every()
        if isinstance(version.spec, CodesSpec)
        for path in codebook_paths(version.spec.codebook)
    }
    for path in garbage.objects:
        lock.check()
        if path in makers:
            _delete_codebook(store, path, makers[path])
        elif reported_table(path) not in undropped:
            store.objects.delete(path)


def _delete_codebook(store: Store, path: str, spec: CodesSpec) -> None:
    try:
        with writers_lock(store, spec):
            heads = (head.spec for head in FeatureRegistry(store).heads("codes"))
            if not any(isinstance(head, CodesSpec) and head.codebook == spec.codebook for head in heads):
                store.objects.delete(path)
    except LockHeldError:
        return  # the next run finds it again


def _every_spec(store: Store) -> list[AnySpec]:
    sources = [name.removeprefix(SOURCE_PREFIX) for name in store.tables() if name.startswith(SOURCE_PREFIX)]
    registered = [version.spec for version in FeatureRegistry(store).every()]
    return [*registered, *(SourceSpec(feature=name, view="rows") for name in sources)]


def _num_bytes(store: Store) -> int:
    return sum(store.objects.sizes("").values())

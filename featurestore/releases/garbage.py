"""What a store holds that nothing refers to: found first, so that it can be looked at before it goes."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

from featurestore.adapters import tuned_adapter
from featurestore.codes.codebooks import about_path, centroids_path, network_path
from featurestore.codes.collision_digits import issued_table
from featurestore.erasure.tables import PAST
from featurestore.features import FeatureRegistry
from featurestore.jobs.answers import ANSWERS_TABLE
from featurestore.jobs.compaction import kept_versions
from featurestore.release import Manifest, ReleaseCatalog
from featurestore.releases.chosen_versions import upstream_of
from featurestore.releases.retention import GcPolicy, KeptRelease, kept_releases
from featurestore.spec import AnySpec, CodesSpec, table_name
from featurestore.store import Store
from featurestore.table_upkeep import MERGED_FOLDER, REPORT_FOLDERS
from featurestore.tuned_models import named_adapters

_REPORT: Final = re.compile(r"^[a-z]+/(?P<table>[^/]+)/(?P<version>\d{6})\.(?P<kind>json|candidates\.arrow)$")


@dataclass(frozen=True)
class Garbage:
    """What may go.

    Attributes:
        kept: Releases that stay, and why.
        releases: Releases that go.
        moves: Moves of aliases that named releases which are gone then; an alias's last move stays.
        tables: Tables of abandoned specs, with their specs.
        pasts: Redacted tables that no release pins.
        versions: Table → versions that go.
        objects: Snapshots, reports, codebooks and adapters that go, with their bytes.
    """

    kept: tuple[KeptRelease, ...]
    releases: tuple[int, ...]
    moves: tuple[str, ...]
    tables: Mapping[str, AnySpec]
    pasts: tuple[str, ...]
    versions: Mapping[str, tuple[int, ...]]
    objects: Mapping[str, int]


def find_garbage(store: Store, policy: GcPolicy) -> Garbage:
    """Find what nothing refers to. Reads manifests, feature records and listings, no rows.

    Raises:
        StoreError: If a manifest or a move of an alias is damaged: nothing may go before it is restored.
    """
    catalog = ReleaseCatalog(store)
    kept = kept_releases(store, policy)
    manifests = [catalog.manifest(release.number) for release in kept]
    used = specs_in_use(store, manifests)
    abandoned = _abandoned(store, used, policy)
    pasts = _unused_pasts(store, manifests)
    versions = {
        table: found
        for table in store.tables()
        if table not in {*abandoned, *pasts, ANSWERS_TABLE}
        if (found := _replaced(store, table, manifests, policy.grace))
    }
    remaining = {release.number for release in kept}
    return Garbage(
        kept=tuple(kept),
        releases=tuple(number for number in catalog.numbers() if number not in remaining),
        moves=tuple(_moves(catalog, remaining)),
        tables=abandoned,
        pasts=pasts,
        versions=versions,
        objects={
            **_snapshots(store, manifests),
            **_reports(store, {*abandoned, *pasts}, versions),
            **_codebooks(store, used, set(abandoned)),
            **_adapters(store, used, set(abandoned)),
        },
    )


def specs_in_use(store: Store, manifests: Sequence[Manifest]) -> dict[str, AnySpec]:
    """Digest → spec of every head, of all that heads were made of, and of all that releases pin."""
    registry = FeatureRegistry(store)
    every = {version.spec.digest: version.spec for version in registry.every()}
    pending = [head.spec for head in registry.heads()]
    pending += [pin.spec for manifest in manifests for pin in manifest.pins]
    used: dict[str, AnySpec] = {}
    while pending:
        spec = pending.pop()
        if spec.digest in used:
            continue
        used[spec.digest] = spec
        upstream = upstream_of(spec)
        if upstream in every:
            pending.append(every[upstream])
    return used


def _abandoned(store: Store, used: Mapping[str, AnySpec], policy: GcPolicy) -> dict[str, AnySpec]:
    """Tables of specs that nobody uses, and of the semantic ids that their codebooks gave out."""
    rest = timedelta(days=policy.abandoned_days)
    kept_tables = set(tables_of(used.values()))
    abandoned: dict[str, AnySpec] = {}
    for version in FeatureRegistry(store).every():
        for table in tables_of([version.spec]):
            ages = [] if table in kept_tables else store.versions(table)
            if ages and ages[-1].age >= rest:
                abandoned[table] = version.spec
    return abandoned


def _unused_pasts(store: Store, manifests: Sequence[Manifest]) -> tuple[str, ...]:
    pinned = {pin.table for manifest in manifests for pin in manifest.pins}
    return tuple(table for table in store.tables() if table.startswith(PAST) and table not in pinned)


def tables_of(specs: Iterable[AnySpec]) -> Iterator[str]:
    """The tables of feature versions, and of the semantic ids that their codebooks ever gave out."""
    for spec in specs:
        yield table_name(spec)
        if isinstance(spec, CodesSpec):
            yield issued_table(spec)


def _replaced(store: Store, table: str, manifests: Sequence[Manifest], grace: timedelta) -> tuple[int, ...]:
    """Versions that no release and no split names, and that were replaced before the time of grace."""
    keep = kept_versions(store, table, manifests)
    return tuple(
        each.version
        for each, replacement in pairwise(store.versions(table))
        if each.version not in keep and replacement.age >= grace
    )


def _moves(catalog: ReleaseCatalog, remaining: Collection[int]) -> Iterator[str]:
    for alias in catalog.aliases():
        moves = list(catalog.moves(alias).items())
        yield from (path for path, move in moves[:-1] if move.release not in remaining)


def _snapshots(store: Store, manifests: Sequence[Manifest]) -> dict[str, int]:
    """Those that no kept release pins; a crashed publish leaves such too, the next one writes them again."""
    pinned = {pin.snapshot for manifest in manifests for pin in manifest.pins}
    sizes = store.objects.sizes("snapshots/")
    return {path: size for path, size in sizes.items() if path.rpartition("/")[0] not in pinned}


def _reports(
    store: Store, abandoned: Collection[str], versions: Mapping[str, Collection[int]]
) -> dict[str, int]:
    """What was measured of table versions that are gone, or go, and what was kept to build such tables."""
    found: dict[str, int] = {}
    staying: dict[str, set[int]] = {}
    for folder in (*REPORT_FOLDERS, MERGED_FOLDER):
        for path, size in store.objects.sizes(f"{folder}/").items():
            report = _REPORT.match(path)
            if report is None:
                continue
            table = report["table"]
            if table not in staying:
                stored = () if table in abandoned else store.versions(table)
                staying[table] = {each.version for each in stored} - set(versions.get(table, ()))
            # Candidates are of use for the next build whatever became of the version that they came with.
            is_needed = (
                staying[table] if report["kind"] != "json" else int(report["version"]) in staying[table]
            )
            if not is_needed:
                found[path] = size
    return found


def _codebooks(store: Store, used: Mapping[str, AnySpec], abandoned: Collection[str]) -> dict[str, int]:
    """Codebooks of semantic ids that are gone, or go: not those just made, that no spec names yet."""
    gone = _makers_gone(store, used, abandoned, lambda s: s.codebook if isinstance(s, CodesSpec) else None)
    paths = {path for codebook in gone for path in codebook_paths(codebook)}
    sizes = store.objects.sizes("codebooks/") if paths else {}
    return {path: size for path, size in sizes.items() if path in paths}


def _adapters(store: Store, used: Mapping[str, AnySpec], abandoned: Collection[str]) -> dict[str, int]:
    """Adapters of texts and vectors that are gone, or go, unless a name stands for them; as `_codebooks`."""
    gone = _makers_gone(store, used, abandoned, tuned_adapter) - named_adapters(store.objects)
    sizes = store.objects.sizes("adapters/") if gone else {}
    return {path: size for path, size in sizes.items() if path.split("/")[1] in gone}


def _makers_gone(
    store: Store,
    used: Mapping[str, AnySpec],
    abandoned: Collection[str],
    maker_of: Callable[[AnySpec], str | None],
) -> set[str]:
    """What rows were made with, by digest, of which no row stays."""
    every = {version.spec.digest: version.spec for version in FeatureRegistry(store).every()}
    staying = set(store.tables()) - set(abandoned)
    gone: set[str] = set()
    needed: set[str] = set()
    for spec in (*every.values(), *used.values()):
        if (maker := maker_of(spec)) is not None:
            is_needed = spec.digest in used or not staying.isdisjoint(tables_of([spec]))
            (needed if is_needed else gone).add(maker)
    return gone - needed


def reported_table(path: str) -> str | None:
    """The table that an object says something of; None if it is no report."""
    report = _REPORT.match(path)
    return report["table"] if report else None


def codebook_paths(codebook: str) -> tuple[str, ...]:
    """Where codebooks lie; the network is an RQ-VAE's."""
    return about_path(codebook), centroids_path(codebook), network_path(codebook)

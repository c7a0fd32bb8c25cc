"""Publishing: pin what the store holds now, pass the gates, write a release, move an alias.

Order: measure → gates → vector snapshots → manifest → alias. A refusal or a crash anywhere leaves every alias
where it stood; what a crash left behind is complete and is used by the next attempt.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from featurestore.consistency import with_outdated_vectors
from featurestore.errors import InputError, UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.gate_checks import measured_gates
from featurestore.gate_draft import Draft
from featurestore.gate_policy import GatePolicy
from featurestore.gates import GateResult, require_passed
from featurestore.progress import Progress, no_progress
from featurestore.release import Manifest, ReleaseCatalog, TablePin, check_alias, now
from featurestore.snapshot import write_snapshot
from featurestore.spec import AnySpec, RecommendationsSpec, SourceSpec, table_name
from featurestore.splits import SplitRecord, current_split
from featurestore.store import Store
from featurestore.table_facts import TableFacts, measure
from featurestore.version import product_version

_SOURCE_PREFIX = "source."


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What publishing did.

    Attributes:
        manifest: The release.
        created: False if the newest release pins exactly this already, and was used.
        alias: The alias asked for, if any.
        moved: Whether the alias was moved to this release.
    """

    manifest: Manifest
    created: bool
    alias: str | None
    moved: bool
    left_out: tuple[str, ...] = ()
    """Recommendations that stay behind: their model learned from another split than the release's."""


def publish(
    store: Store,
    *,
    gates: GatePolicy,
    alias: str | None = "production",
    features: Sequence[str] | None = None,
    accepted_gates: Collection[str] = (),
    progress: Progress = no_progress,
) -> PublishReport:
    """Publish the heads of all feature views and the newest source tables as one release.

    Recommendations of a model that learned from an earlier split are left out: they would show what the
    current split holds out, and only a new release can train a new model.
    Tables that the newest release pins at the same version are not read again: the cost grows with what
    changed.

    Args:
        store: The store.
        gates: Thresholds.
        alias: Moved to the release; None makes a release that no alias names.
        features: Feature names (``item_cot``) or views (``item_cot.fused``) to pin; all if None.
        accepted_gates: Gates whose refusal a person accepts for this release; the manifest says so.
        progress: Told per table.

    Raises:
        InputError: If the store holds nothing to publish.
        UnknownNameError: If one of ``features`` is not in the store, or an accepted gate is none.
        UsageError: If an accepted gate guards what would make the release wrong.
        GateFailedError: If a gate fails; aliases and releases are left as they were.
        StorageFullError: If there is no room for a snapshot or the manifest.
    """
    if alias is not None:
        check_alias(alias)
    catalog, split = ReleaseCatalog(store), current_split(store)
    heads, left_out = _of_this_split(_heads(store, features), catalog, split)
    specs = [*_sources(store), *heads]
    if not specs:
        raise InputError(
            f"the store {store.uri} holds nothing to publish.", hint="Run `featurestore ingest` first."
        )
    parent = catalog.newest()
    tables = _measured(store, specs, split, parent, progress)
    draft = Draft(store, tables, split, parent)
    results = measured_gates(draft, gates, accepted=accepted_gates, progress=progress)
    require_passed(results, standing=_standing(catalog, alias))
    pins = tuple(_pin(store, spec, facts) for spec, facts in tables)
    manifest, created = _release(catalog, pins, split, results)
    moved = catalog.point(alias, manifest.number) if alias is not None else False
    return PublishReport(manifest, created, alias, moved, left_out)


def _sources(store: Store) -> list[SourceSpec]:
    names = [table for table in store.tables() if table.startswith(_SOURCE_PREFIX)]
    return [SourceSpec(feature=name.removeprefix(_SOURCE_PREFIX), view="rows") for name in names]


def _heads(store: Store, features: Sequence[str] | None) -> list[AnySpec]:
    heads = [head.spec for head in FeatureRegistry(store).heads()]
    if features is None:
        return heads
    known = {name for spec in heads for name in (spec.feature, f"{spec.feature}.{spec.view}")}
    for name in features:
        if name not in known:
            raise UnknownNameError("feature", name, known)
    wanted = set(features)
    return [spec for spec in heads if {spec.feature, f"{spec.feature}.{spec.view}"} & wanted]


def _of_this_split(
    specs: Sequence[AnySpec], catalog: ReleaseCatalog, split: SplitRecord | None
) -> tuple[list[AnySpec], tuple[str, ...]]:
    """The specs that may be released, and the names of the recommendations that may not."""
    released = {str(number) for number in catalog.numbers()}
    kept: list[AnySpec] = []
    left_out: list[str] = []
    for spec in specs:
        learned_from = spec.release if isinstance(spec, RecommendationsSpec) else ""
        if learned_from in released and catalog.manifest(int(learned_from)).split != split:
            left_out.append(f"{spec.feature}.{spec.view}")
        else:
            kept.append(spec)
    return kept, tuple(left_out)


def _measured(
    store: Store,
    specs: Sequence[AnySpec],
    split: SplitRecord | None,
    parent: Manifest | None,
    progress: Progress,
) -> list[tuple[AnySpec, TableFacts]]:
    known = {(pin.spec.digest, pin.version): pin for pin in (parent.pins if parent else ())}
    tables: list[tuple[AnySpec, TableFacts]] = []
    for done, spec in enumerate(specs):
        progress(done, len(specs), table_name(spec))
        version = _version(store, spec, split)
        pin = known.get((spec.digest, version))
        tables.append((spec, _facts_of(pin) if pin else _facts(store, spec, version)))
    unchanged = dict(known.keys())
    tables = with_outdated_vectors(store, tables, unchanged=unchanged)
    progress(len(specs), len(specs))
    return tables


def _version(store: Store, spec: AnySpec, split: SplitRecord | None) -> int:
    """The newest version; of the events, the one the current split was made of. 0 if there is none."""
    if split is not None and isinstance(spec, SourceSpec) and spec.feature == "interactions":
        return split.interactions_version
    latest = store.latest(table_name(spec))
    return latest.version if latest else 0


def _facts(store: Store, spec: AnySpec, version: int) -> TableFacts:
    return measure(store, spec, version) if version else TableFacts(version=0, num_rows=0, checksum="")


def _facts_of(pin: TablePin) -> TableFacts:
    """What a released pin says: its ids were unique and its vectors sound, or it would not be released."""
    return TableFacts(
        version=pin.version,
        num_rows=pin.num_rows,
        num_failed=pin.num_failed,
        duplicate_text_share=pin.duplicate_text_share,
        event_sets=pin.event_sets,
        checksum=pin.checksum,
    )


def _pin(store: Store, spec: AnySpec, facts: TableFacts) -> TablePin:
    table = table_name(spec)
    is_vector = spec.kind == "vector"
    return TablePin(
        spec=spec,
        table=table,
        version=facts.version,
        num_rows=facts.num_rows,
        num_failed=facts.num_failed,
        checksum=facts.checksum,
        snapshot=write_snapshot(store, table, facts.version, facts.checksum) if is_vector else None,
        event_sets=facts.event_sets,
        duplicate_text_share=facts.duplicate_text_share,
    )


def _release(
    catalog: ReleaseCatalog,
    pins: tuple[TablePin, ...],
    split: SplitRecord | None,
    results: tuple[GateResult, ...],
) -> tuple[Manifest, bool]:
    while True:
        newest = catalog.newest()
        if newest is not None and newest.pins == pins and newest.split == split:
            return newest, False
        manifest = Manifest(
            number=newest.number + 1 if newest else 1,
            parent=newest.number if newest else None,
            created_at=now(),
            split=split,
            pins=pins,
            gates=results,
            product_version=product_version(),
        )
        if catalog.add(manifest):
            return manifest, True


def _standing(catalog: ReleaseCatalog, alias: str | None) -> str:
    if alias is None:
        return "nothing was published"
    number = catalog.aliases().get(alias)
    return f"alias {alias!r} {'still names release ' + str(number) if number else 'still names no release'}"

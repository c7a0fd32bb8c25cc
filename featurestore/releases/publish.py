"""Publishing: pin what the store holds now, pass the gates, write a release, move an alias.

Order: choose → compact → measure → gates → tag versions, write vector snapshots → manifest → alias, with the
publish lock held. A refusal or a crash anywhere leaves every alias where it stood; what a crash left behind
is complete and is used by the next attempt.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from featurestore.adapters import adapter_paths, tuned_adapter
from featurestore.codes.codebooks import about_path, centroids_path, network_path
from featurestore.errors import GateFailedError, InputError
from featurestore.gate_result import GateResult
from featurestore.gates.checks import measured_gates
from featurestore.gates.draft import Draft
from featurestore.gates.policy import GatePolicy
from featurestore.gates.probe import Probe
from featurestore.gates.rules import require_passed
from featurestore.ids import digest_bytes
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.readable_manifests import DamagedRelease, ReadableManifests, read_manifests
from featurestore.release import Artefact, Manifest, ReleaseCatalog, TablePin, check_alias, now, sealed
from featurestore.releases.chosen_versions import Choice, Chosen, choose_versions
from featurestore.releases.measured_tables import measure_chosen
from featurestore.releases.promote import promote
from featurestore.releases.required import require_features
from featurestore.snapshot import write_snapshot
from featurestore.source_tables import INTERACTIONS
from featurestore.spec import AnySpec, CodesSpec, table_name
from featurestore.splits import SplitRecord, current_split
from featurestore.store import Store
from featurestore.table_facts import TableFacts
from featurestore.table_upkeep import compact_table, writers_lock
from featurestore.version import product_version

PUBLISH_LOCK: Final = "publish"
"""Held by whoever makes or removes releases."""
_GRACE: Final = timedelta(hours=24)
"""Versions that were replaced more recently stay: a job may be reading one."""


@dataclass(frozen=True, slots=True)
class CarriedFeature:
    """A feature of which the last complete version was released, not the newest.

    Attributes:
        kind: Such as ``text``.
        name: ``item_cot.fused``.
        release: The release that it comes from.
        num_rows: Its rows.
        successor_rows: Rows that the newest version has so far.
    """

    kind: str
    name: str
    release: int
    num_rows: int
    successor_rows: int


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
    """What models and adapters made and stays behind: they learned from another split than the release's."""
    carried: tuple[CarriedFeature, ...] = ()
    """Features that stay as an earlier release has them, because their successors are incomplete."""
    damaged: tuple[DamagedRelease, ...] = ()
    """Releases whose manifests cannot be read, if that mattered: no old version of a table was removed."""
    left_out_tuned: tuple[str, ...] = ()
    """Those of ``left_out`` that an adapter made."""


def publish(
    store: Store,
    *,
    gates: GatePolicy,
    alias: str | None = "production",
    features: Sequence[str] | None = None,
    probe: Probe | None = None,
    accepted_gates: Collection[str] = (),
    carry: bool = True,
    held: Collection[str] = (),
    progress: Progress = no_progress,
) -> PublishReport:
    """Publish the heads of all feature views and the newest source tables as one release.

    What a model or an adapter made that learned from an earlier split is left out: it would show what the
    current split holds out, and only a new release can train a new one. What was asked for by name is not
    left out: there is no release then.
    A feature whose new version is still being generated stays at its last complete one, see
    `featurestore.releases.chosen_versions`.
    Tables that the newest release pins at the same version are not read again; of the others, the columns
    that gates look at, and of the rest what changed.
    A damaged manifest of another release than the newest stops nothing, see `PublishReport.damaged`.

    Args:
        store: The store.
        gates: Thresholds.
        alias: Moved to the release; None makes a release that no alias names.
        features: Feature names (``item_cot``) or views (``item_cot.fused``) to pin; all if None.
        probe: A frozen model that the new vectors are scored with, if there is one.
        accepted_gates: Gates whose refusal a person accepts for this release; the manifest says so.
        carry: Whether incomplete versions give way to the last complete ones; if not, every head is released.
        held: Text features that stay as the newest release has them, with all that was made of them: another
            job works on their vectors, graphs or semantic ids.
        progress: Told per table.

    Raises:
        InputError: If the store holds nothing to publish.
        DamagedFileError: If the manifest of the newest release is damaged, or of one that lists were
            learned from.
        LockHeldError: If another process makes or removes releases of this store; or if a held feature cannot
            stay, because the newest release's rows of it were made from events of another split.
        UnknownNameError: If one of ``features`` is not in the store, or an accepted gate is none.
        UsageError: If an accepted gate guards what would make the release wrong.
        GateFailedError: If a gate fails, one of ``features`` is of a model or an adapter that learned from
            an earlier split, or the alias would name a release without a required feature; aliases and
            releases are left as they were.
        StoreError: If what says where an adapter came from is damaged.
        StorageFullError: If there is no room for a snapshot or the manifest.
    """
    if alias is not None:
        check_alias(alias)
    with FeatureLock(store.objects, PUBLISH_LOCK) as lock:
        catalog, split = ReleaseCatalog(store), current_split(store)
        parent = catalog.newest()
        choice = choose_versions(store, parent=parent, split=split, features=features, carry=carry, held=held)
        if not choice.tables:
            raise InputError(
                f"the store {store.uri} holds nothing to publish.", hint="Run `featurestore ingest` first."
            )
        if features is not None and choice.left_out:
            raise _behind(choice, _standing(catalog, alias))
        if alias is not None:
            specs = [chosen.spec for chosen in choice.tables]
            require_features(specs, gates.required_features, standing=_standing(catalog, alias))
        damaged = _compacted(store, choice, catalog, parent)
        tables = measure_chosen(store, choice, split, parent, progress)
        draft = Draft(store, tables, split, parent)
        results = measured_gates(draft, gates, probe=probe, accepted=accepted_gates, progress=progress)
        require_passed(results, standing=_standing(catalog, alias))
        pinned = {pin.spec.digest: (pin.table, pin.version) for pin in (parent.pins if parent else ())}
        pins = tuple(
            _pin(store, chosen, facts, pinned)
            for chosen, (_, facts) in zip(choice.tables, tables, strict=True)
        )
        lock.check()
        manifest, created = _release(catalog, pins, split, results)
        lock.check()
        moved = alias is not None and promote(store, str(manifest.number), alias=alias).moved
    carried = _carried_features(choice)
    return PublishReport(
        manifest, created, alias, moved, choice.left_out, carried, damaged, choice.left_out_tuned
    )


def _behind(choice: Choice, standing: str) -> GateFailedError:
    of = "is" if len(choice.left_out) == 1 else "are"
    whose = "a model" if not choice.left_out_tuned else "a model or an adapter"
    adapters = "; vectors of an adapter: `featurestore tune` on the new model's vectors"
    return GateFailedError(
        f"{', '.join(choice.left_out)} {of} of {whose} that learned from an earlier split than the current "
        f"one, and no release may hold that; {standing}.",
        hint="Publish without --feature, train the model on the new release and write its lists and vectors "
        f"again{adapters if choice.left_out_tuned else ''}, or leave these out of --feature.",
    )


def _carried_features(choice: Choice) -> tuple[CarriedFeature, ...]:
    return tuple(
        CarriedFeature(
            chosen.spec.kind,
            chosen.carried.name,
            chosen.carried.carried_from or 0,
            chosen.carried.num_rows,
            chosen.successor_rows,
        )
        for chosen in choice.tables
        if chosen.carried
    )


def _compacted(
    store: Store, choice: Choice, catalog: ReleaseCatalog, parent: Manifest | None
) -> tuple[DamagedRelease, ...]:
    """Merge the small files of tables that were written since the parent, unless somebody writes them now.

    Returns:
        Releases that cannot be read: no version was removed, for nobody knows which ones they pin.
    """
    pinned = {(pin.table, pin.version) for pin in (parent.pins if parent else ())}
    found: ReadableManifests | None = None
    for chosen in choice.tables:
        table = table_name(chosen.spec)
        latest = store.latest(table)
        # Of interactions, the split names the version.
        if chosen.carried or latest is None or table == INTERACTIONS:
            continue
        if (table, latest.version) not in pinned:
            found = found or read_manifests(catalog, catalog.numbers())
            compact_table(store, table, writers_lock(store, chosen.spec), found.if_all, grace=_GRACE)
    return found.damaged if found else ()


def _pin(store: Store, chosen: Chosen, facts: TableFacts, pinned: Mapping[str, tuple[str, int]]) -> TablePin:
    """Protect the version, unless it was ``pinned`` before, prepare its snapshot, and describe both."""
    spec, table = chosen.spec, chosen.table
    if (table, facts.version) != pinned.get(spec.digest):
        store.protect(table, facts.version)
    snapshot = None
    if spec.kind == "vector":
        snapshot = write_snapshot(store, table, facts.version, facts.vectors_checksum)
    return TablePin(
        spec=spec,
        table=table,
        version=facts.version,
        num_rows=facts.num_rows,
        num_failed=facts.num_failed,
        checksum=facts.checksum,
        fragments=facts.fragments,
        snapshot=snapshot,
        event_sets=facts.event_sets,
        duplicate_text_share=facts.duplicate_text_share,
        carried_from=chosen.carried.carried_from if chosen.carried else None,
        artefacts=_artefacts(store, spec),
    )


def _artefacts(store: Store, spec: AnySpec) -> tuple[Artefact, ...]:
    """The codebooks of semantic ids, and the adapter of texts or vectors if this store tuned it."""
    paths: Sequence[str] = ()
    if isinstance(spec, CodesSpec):
        paths = (about_path(spec.codebook), centroids_path(spec.codebook))
        if spec.origin == "rq_vae":
            paths = (*paths, network_path(spec.codebook))
    elif (adapter := tuned_adapter(spec)) is not None:
        paths = adapter_paths(store.objects, adapter)
    return tuple(Artefact(path=path, digest=digest_bytes(store.objects.read(path))) for path in paths)


def _release(
    catalog: ReleaseCatalog,
    pins: tuple[TablePin, ...],
    split: SplitRecord | None,
    results: tuple[GateResult, ...],
) -> tuple[Manifest, bool]:
    while True:
        newest = catalog.newest()
        if newest is not None and _content(newest.pins) == _content(pins) and newest.split == split:
            return newest, False
        manifest = sealed(
            Manifest(
                number=max(catalog.numbers(), default=0) + 1,
                parent=newest.number if newest else None,
                created_at=now(),
                split=split,
                pins=pins,
                gates=results,
                product_version=product_version(),
            )
        )
        if catalog.add(manifest):
            return manifest, True


def _content(pins: Sequence[TablePin]) -> list[TablePin]:
    """Pins without what only tells how they came to be there."""
    return [pin.model_copy(update={"carried_from": None}) for pin in pins]


def _standing(catalog: ReleaseCatalog, alias: str | None) -> str:
    if alias is None:
        return "nothing was published"
    number = catalog.aliases().get(alias)
    return f"alias {alias!r} {'still names release ' + str(number) if number else 'still names no release'}"

"""Verification: read again all that releases pin, and compare it with the checksums in their manifests."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from featurestore import schema
from featurestore.errors import (
    DamagedFileError,
    FeatureStoreError,
    ServiceError,
    StoreDamagedError,
    StoreError,
)
from featurestore.fragment_sums import VECTOR_CONTENT, FragmentSum, VersionSums, sum_fragment
from featurestore.ids import digest_bytes
from featurestore.progress import Progress, no_progress
from featurestore.release import Manifest, ReleaseCatalog, TablePin, manifest_path, seal_of
from featurestore.row_sums import sum_rows, sum_text
from featurestore.snapshot import read_snapshot
from featurestore.store import Fragment, Store
from featurestore.table_facts import key_columns, rows_checksum

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not what a manifest says.

    Attributes:
        release: The oldest release verified that needs it; None if none does, as of an alias.
        what: The table, snapshot, artefact, manifest or alias.
        found: What is wrong with it.
    """

    release: int | None
    what: str
    found: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was verified.

    Attributes:
        releases: Their numbers.
        num_tables: Table versions.
        num_rows: Rows that were read; what several releases share is read once.
        num_objects: Snapshots and artefacts.
        damages: Empty if all is well.
    """

    releases: tuple[int, ...]
    num_tables: int
    num_rows: int
    num_objects: int
    damages: tuple[Damage, ...]


def verify(store: Store, names: Sequence[str] = (), *, progress: Progress = no_progress) -> VerifyReport:
    """Read releases whole and compare every fragment, snapshot and artefact with its checksum.

    Costs reading all that the releases pin, once, with one fragment of a table in memory at a time.

    Args:
        store: The store.
        names: Releases by number or alias; all of them, and the aliases, if none are named.
        progress: Told per table.

    Raises:
        MissingVersionError: If there is no such release or alias.
        ServiceError: If the store's service does not answer: what could not be read may well be sound.
    """
    catalog, damages = ReleaseCatalog(store), list[Damage]()
    if not names:
        damages += _alias_damages(catalog)
    numbers = sorted({catalog.number(name) for name in names}) if names else catalog.numbers()
    manifests: list[Manifest] = []
    for number in numbers:
        try:
            manifests.append(catalog.manifest(number))
            if manifests[-1].digest != _seal(store, number) and manifests[-1].format_version > 1:
                damages.append(Damage(number, "manifest", "it is not the one that was published"))
        except ServiceError:
            raise
        except StoreError as error:
            damages.append(Damage(number, "manifest", error.message))
    checks = _Checks(store)
    pins = [(manifest, pin) for manifest in manifests for pin in manifest.pins]
    for done, (manifest, pin) in enumerate(pins):
        progress(done, len(pins), f"release {manifest.number}: {pin.table}")
        damages += [Damage(manifest.number, what, found) for what, found in checks.damages_of(pin, manifest)]
    progress(len(pins), len(pins))
    return VerifyReport(
        tuple(numbers), checks.num_tables, checks.num_rows, checks.num_objects, tuple(damages)
    )


def require_sound(report: VerifyReport) -> None:
    """Refuse a store in which damage was found.

    Raises:
        StoreDamagedError: Naming the damage.
    """
    if not report.damages:
        return
    lines = [f"  {describe(damage)}" for damage in report.damages[:_SHOWN]]
    if len(report.damages) > _SHOWN:
        lines.append(f"  and {len(report.damages) - _SHOWN} more")
    things = "1 thing is" if len(report.damages) == 1 else f"{len(report.damages)} things are"
    raise StoreDamagedError(
        "\n".join([f"{things} damaged:", *lines]),
        hint="Restore the files from a copy of the store. A snapshot may be deleted instead: the next "
        "`featurestore publish` writes it again. Until then `featurestore rollback` to a sound release.",
    )


def describe(damage: Damage) -> str:
    """One damage as a line."""
    whose = "" if damage.release is None else f"release {damage.release}, "
    return f"{whose}{damage.what}: {damage.found}"


def _seal(store: Store, number: int) -> str:
    return seal_of(json.loads(store.objects.read(manifest_path(number))))


def _alias_damages(catalog: ReleaseCatalog) -> Iterator[Damage]:
    """Moves that cannot be read, those behind the current ones too; aliases that name nothing."""
    numbers = catalog.numbers()
    for alias, paths in catalog.move_paths().items():
        named: int | None = None
        for path in paths:
            try:
                named = catalog.move(path).release
            except DamagedFileError as error:
                named = None
                yield Damage(None, f"alias {alias!r}", str(error))
        if named is not None and named not in numbers:
            yield Damage(None, f"alias {alias!r}", f"it names release {named}, which does not exist")


class _Checks:
    """Checks pins; what was checked for one release is not read again for the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fragments: dict[tuple[str, str, str], FragmentSum | str] = {}
        self._done: set[tuple[str, int]] = set()
        self._objects: set[str] = set()
        self.num_rows = 0

    @property
    def num_tables(self) -> int:
        """Table versions that were checked."""
        return len(self._done)

    @property
    def num_objects(self) -> int:
        """Snapshots and artefacts that were checked."""
        return len(self._objects)

    def damages_of(self, pin: TablePin, manifest: Manifest) -> Iterator[tuple[str, str]]:
        """What is damaged of a pin, and how."""
        if pin.version and (pin.table, pin.version) not in self._done:
            self._done.add((pin.table, pin.version))
            what = f"{pin.table} version {pin.version}"
            table = self._first_table if manifest.format_version == 1 else self._table
            yield from ((what, found) for found in _told(table(pin)))
        if pin.snapshot is not None and pin.snapshot not in self._objects:
            self._objects.add(pin.snapshot)
            found = self._snapshot(pin.snapshot, manifest)
            yield from ((pin.snapshot, each) for each in _told(found))
        for artefact in pin.artefacts:
            if artefact.path not in self._objects:
                self._objects.add(artefact.path)
                found = self._artefact(artefact.path, artefact.digest)
                yield from ((artefact.path, each) for each in _told(found))

    def _table(self, pin: TablePin) -> Iterator[str]:
        expected = {(each.name, each.deleted): each for each in pin.fragments}
        if VersionSums(pin.fragments).checksum != pin.checksum:
            yield "the manifest's checksum is not the sum of its fragments'"
        fragments = self._store.fragments(pin.table, version=pin.version)
        if [(each.name, each.deleted) for each in fragments] != list(expected):
            yield "it is made of other fragments than were published"
            return
        for fragment in fragments:
            found, wanted = self._sum_of(pin, fragment), expected[fragment.name, fragment.deleted]
            if found != wanted:
                why = found if isinstance(found, str) else "its rows are not those that were published"
                yield f"fragment {fragment.name}: {why}"

    def _sum_of(self, pin: TablePin, fragment: Fragment) -> FragmentSum | str:
        """The sum of a fragment's rows, or why they cannot be read."""
        key = (pin.table, fragment.name, fragment.deleted)
        if key not in self._fragments:
            try:
                rows = self._store.read_fragment(pin.table, fragment.name, version=pin.version)
                self.num_rows += rows.num_rows
                self._fragments[key] = sum_fragment(fragment, rows)
            except ServiceError:
                raise
            except StoreError as error:
                self._fragments[key] = error.message
        return self._fragments[key]

    def _first_table(self, pin: TablePin) -> Iterator[str]:
        """Of manifests of format 1, which know no fragments."""
        rows = self._store.read(pin.table, version=pin.version)
        self.num_rows += rows.num_rows
        keys = key_columns(pin.spec)
        if pin.spec.kind == "vector":
            rows = rows.select(VECTOR_CONTENT)
        if rows_checksum(rows, keys) != pin.checksum:
            yield "its rows are not those that were published"

    def _snapshot(self, prefix: str, manifest: Manifest) -> Iterator[str]:
        ids, matrix = read_snapshot(self._store.objects, prefix)
        width = matrix.shape[1]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), width)
        full = schema.vectors(width)
        content = pa.schema([full.field(name) for name in VECTOR_CONTENT])
        rows = pa.Table.from_arrays([ids, vectors], schema=content)
        found = rows_checksum(rows, ()) if manifest.format_version == 1 else sum_text(sum_rows(rows))
        if found != prefix.rpartition("/")[2]:
            yield "its vectors are not those that were published"

    def _artefact(self, path: str, digest: str) -> Iterator[str]:
        if digest_bytes(self._store.objects.read(path)) != digest:
            yield "its bytes are not those that rows were made with"


def _told(found: Iterator[str]) -> Iterator[str]:
    """What a check found; that it could not read something is a finding too."""
    try:
        yield from found
    except ServiceError:
        raise
    except FeatureStoreError as error:
        yield error.message

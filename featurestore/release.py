"""Releases: one immutable manifest over many table versions, and the aliases that name one.

``releases/000001.json`` is a manifest, ``aliases/production/000001.json`` one move of an alias. Both are
created only if absent; the highest number counts.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from featurestore.errors import DamagedFileError, MissingVersionError, NewerStoreError, StoreError, UsageError
from featurestore.fragment_sums import FragmentSum
from featurestore.gate_result import GateResult
from featurestore.ids import canonical_json, digest
from featurestore.objects import same_object
from featurestore.spec import AnySpec, Frozen
from featurestore.splits import SplitRecord
from featurestore.store import Store
from featurestore.superseded import places, successors
from featurestore.version import product_version

_MANIFEST = re.compile(r"^releases/(?P<number>\d{6})\.json$")
_MOVE = re.compile(r"^aliases/(?P<alias>[^/]+)/(?P<number>\d{6})\.json$")
_ALIAS = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")


class Artefact(Frozen):
    """An object that rows were made with, such as codebooks."""

    path: str
    digest: str
    """128-bit blake3 of its bytes."""


class TablePin(Frozen):
    """One table version of a release."""

    spec: AnySpec
    table: str
    version: int
    num_rows: int
    num_failed: int = 0
    checksum: str
    """`featurestore.row_sums` of all rows; of manifests of format 1, that of `table_facts.rows_checksum`."""
    fragments: tuple[FragmentSum, ...] = ()
    """What the checksum is the sum of; empty in manifests of format 1."""
    snapshot: str | None = None
    """Path prefix of the vectors' snapshot, see `featurestore.snapshot`."""
    event_sets: tuple[str, ...] = ()
    """All event sets that the rows name."""
    duplicate_text_share: float = 0.0
    carried_from: int | None = None
    """The release that made this the feature's last complete version, where a newer spec was still being
    generated; None if it was the newest."""
    artefacts: tuple[Artefact, ...] = ()
    """What the rows were made with, beside what other pins hold."""

    @property
    def name(self) -> str:
        """``item_cot.fused``."""
        return f"{self.spec.feature}.{self.spec.view}"


_NEWEST_FORMAT: Final = 2


class Manifest(Frozen):
    """All that a release is."""

    format_version: Literal[1, 2] = _NEWEST_FORMAT
    number: int = Field(ge=1)
    parent: int | None = None
    """The release before it; None for the first."""
    supersedes: int | None = None
    """The release in whose place it stands, without what was to be forgotten (`featurestore.forget`)."""
    created_at: str
    """UTC, ISO 8601."""
    split: SplitRecord | None = None
    pins: tuple[TablePin, ...]
    gates: tuple[GateResult, ...] = ()
    product_version: str
    digest: str = ""
    """Of all the rest, see `sealed`; empty in manifests of format 1."""


class AliasMove(Frozen):
    """One move of an alias."""

    release: int
    created_at: str
    """UTC, ISO 8601."""


class ReleaseCatalog:
    """Releases and aliases of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def numbers(self) -> list[int]:
        """Numbers of all releases, ascending."""
        paths = self._store.objects.list("releases/")
        return [int(match["number"]) for path in paths if (match := _MANIFEST.match(path))]

    def newest(self) -> Manifest | None:
        """The release that was published last, or None; a redacted one stands where its original stood."""
        standing = places(self._store.objects)
        number = max(self.numbers(), key=lambda each: standing.get(each, each), default=None)
        return None if number is None else self.manifest(number)

    def manifest(self, number: int) -> Manifest:
        """One release.

        Raises:
            MissingVersionError: If there is none of that number.
            DamagedFileError: If its manifest is damaged.
            NewerStoreError: If a newer product wrote it.
        """
        path = manifest_path(number)
        try:
            data = self._store.objects.read(path)
        except MissingVersionError:
            raise self._unknown(str(number)) from None
        try:
            return Manifest.model_validate_json(data)
        except ValidationError as error:
            _require_known_format(path, data)
            raise DamagedFileError(
                f"the manifest {path!r} is not one that product version {product_version()} reads: {error}",
                hint="Restore the file from a copy.",
            ) from error

    def manifests(self) -> list[Manifest]:
        """All releases, ascending; errors as `manifest`."""
        return [self.manifest(number) for number in self.numbers()]

    def aliases(self) -> dict[str, int]:
        """Alias → release number, sorted by alias."""
        return {alias: self.move(paths[-1]).release for alias, paths in self.move_paths().items()}

    def move_paths(self) -> dict[str, list[str]]:
        """Alias → object paths of its moves, oldest first; sorted by alias. Costs one listing."""
        found: dict[str, list[str]] = {}
        for path in self._store.objects.list("aliases/"):
            if match := _MOVE.match(path):
                found.setdefault(match["alias"], []).append(path)
        return dict(sorted(found.items()))

    def move(self, path: str) -> AliasMove:
        """One move of an alias.

        Raises:
            DamagedFileError: If it is damaged.
        """
        try:
            return AliasMove.model_validate_json(self._store.objects.read(path))
        except ValidationError as error:
            raise DamagedFileError(
                f"the move of an alias {path!r} is damaged: {error}",
                hint="Restore the file from a copy, or delete it: an alias names what its last move says.",
            ) from error

    def moves(self, alias: str) -> dict[str, AliasMove]:
        """Object path → move, of one alias, oldest first; the last one counts."""
        return {path: self.move(path) for path in self.move_paths().get(alias, ())}

    def resolve(self, name: str) -> Manifest:
        """The release of an alias (``production``) or a number (``17``).

        Raises:
            MissingVersionError: Listing the aliases and releases there are.
        """
        return self.manifest(self.number(name))

    def number(self, name: str) -> int:
        """The number of the release that `resolve` gives, without reading its manifest.

        Raises:
            MissingVersionError: Listing the aliases and releases there are.
        """
        number = int(name) if name.isdecimal() else self._named(name)
        if number is None or number not in self.numbers():
            raise self._unknown(name)
        return number

    def add(self, manifest: Manifest) -> bool:
        """Create a release, sealed; False if another one took its number."""
        return same_object(self._store.objects, manifest_path(manifest.number), _dump(sealed(manifest)))

    def point(self, alias: str, number: int) -> bool:
        """Make an alias name a release; going back to an earlier one is another move.

        Returns:
            False if it names that release already.

        Raises:
            UsageError: If the alias is no name, or looks like a release number.
            MissingVersionError: If there is no such release.
        """
        check_alias(alias)
        self.manifest(number)
        move = _dump(AliasMove(release=number, created_at=now()))
        while True:
            paths = self.move_paths().get(alias, ())
            if paths and self.move(paths[-1]).release == number:
                return False
            path = f"aliases/{alias}/{int(paths[-1][-11:-5]) + 1 if paths else 1:06d}.json"
            if same_object(self._store.objects, path, move):
                return True

    def successors(self) -> dict[int, int]:
        """Release that a redacted one stands for → that one."""
        return successors(self._store.objects)

    def remove(self, number: int) -> None:
        """Take a release out of the catalog. Hold the aliases' lock (`featurestore.releases.promote`).

        Raises:
            StoreError: If it is the newest one, whose number would be given out again, or an alias names it.
        """
        names = [alias for alias, named in self.aliases().items() if named == number]
        if names or number == self.numbers()[-1]:
            why = f"alias {names[0]!r} names it" if names else "it is the newest one"
            raise StoreError(f"release {number} cannot be removed: {why}.")
        self._store.objects.delete(manifest_path(number))

    def _named(self, alias: str) -> int | None:
        """What an alias names, without a look at its earlier moves, or at other aliases."""
        paths = self.move_paths().get(alias)
        return self.move(paths[-1]).release if paths else None

    def _unknown(self, name: str) -> MissingVersionError:
        if name.isdecimal() and (successor := successors(self._store.objects).get(int(name))):
            return MissingVersionError(
                f"release {name} is gone, superseded by release {successor}: a user was forgotten.",
                hint=f"Read release {successor}. Train models again that were fitted on release {name}.",
            )
        aliases = ", ".join(f"{alias} (release {number})" for alias, number in self.aliases().items())
        numbers = ", ".join(str(number) for number in self.numbers()[-20:])
        return MissingVersionError(
            f"the store has no release or alias {name!r}. "
            f"Aliases: {aliases or 'none'}. Releases: {numbers or 'none'}.",
            hint="Make one with `featurestore publish`." if not numbers else "",
        )


def check_alias(alias: str) -> None:
    """Refuse an alias that is no name.

    Raises:
        UsageError: If it does not start with a letter, or has other characters than letters, digits, _ and -.
    """
    if not _ALIAS.match(alias):
        raise UsageError(
            f"an alias starts with a letter and has letters, digits, _ and - only, got {alias!r}."
        )


def now() -> str:
    """This moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its digest."""
    return manifest.model_copy(update={"digest": seal_of(manifest.model_dump(mode="json"))})


def seal_of(fields: Mapping[str, Any]) -> str:
    """The digest of a manifest's fields, those of later versions included."""
    return digest({name: value for name, value in fields.items() if name != "digest"})


def manifest_path(number: int) -> str:
    """Where the manifest of a release is, relative to the store."""
    return f"releases/{number:06d}.json"


def _require_known_format(path: str, data: bytes) -> None:
    """Refuse a manifest that says itself that a newer product wrote it."""
    try:
        stated = json.loads(data)
    except ValueError:
        return
    found = stated.get("format_version") if isinstance(stated, dict) else None
    if isinstance(found, int) and found > _NEWEST_FORMAT:
        raise NewerStoreError(
            f"the manifest {path!r} has format {found}; "
            f"version {product_version()} of this product knows formats up to {_NEWEST_FORMAT}.",
            hint="Upgrade: pip install --upgrade cot-featurestore",
        )


def _dump(value: Frozen) -> bytes:
    return canonical_json(value.model_dump(mode="json")).encode()

"""Releases as people look at them: in a list, and one with all that it pins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from featurestore.errors import DamagedFileError, MissingVersionError
from featurestore.readable_manifests import DamagedRelease, read_manifests
from featurestore.release import Manifest, ReleaseCatalog
from featurestore.store import Store


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """One release of a list.

    Attributes:
        number: Its number.
        created_at: UTC, ISO 8601.
        parent: The release before it; None for the first.
        num_features: Feature views that it pins, sources left aside.
        num_changed: Tables that its parent pinned otherwise, or not at all; all of them if that one cannot
            be read.
        num_rows: Rows of all that it pins.
        num_carried: Features that stayed at an older version, because the newer one was incomplete.
        num_accepted: Refusals of gates that a person accepted.
        aliases: Those that name it, sorted.
    """

    number: int
    created_at: str
    parent: int | None
    num_features: int
    num_changed: int
    num_rows: int
    num_carried: int
    num_accepted: int
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseList:
    """The newest releases, newest first, and those among them that cannot be read."""

    releases: tuple[ListedRelease, ...]
    damaged: tuple[DamagedRelease, ...]


@dataclass(frozen=True, slots=True)
class AliasStay:
    """A time in which an alias named a release; ``until`` is None if it still does."""

    alias: str
    since: str
    until: str | None


@dataclass(frozen=True, slots=True)
class DescribedRelease:
    """One release.

    Attributes:
        manifest: All that it is.
        changed: Tables that its parent pinned otherwise, or not at all; all of them if that one cannot
            be read.
        stays: When which alias named it, as far as is remembered.
    """

    manifest: Manifest
    changed: tuple[str, ...]
    stays: tuple[AliasStay, ...]


def list_releases(store: Store, limit: int) -> ReleaseList:
    """The newest releases, newest first; one whose manifest is damaged is named beside them.

    Raises:
        StoreError: If the newest move of an alias is damaged.
    """
    catalog = ReleaseCatalog(store)
    aliases = catalog.aliases()
    found = read_manifests(catalog, reversed(catalog.numbers()[-limit:]))
    return ReleaseList(
        tuple(_listed(catalog, manifest, aliases) for manifest in found.manifests), found.damaged
    )


def _listed(catalog: ReleaseCatalog, manifest: Manifest, aliases: Mapping[str, int]) -> ListedRelease:
    return ListedRelease(
        number=manifest.number,
        created_at=manifest.created_at,
        parent=manifest.parent,
        num_features=sum(pin.spec.kind != "source" for pin in manifest.pins),
        num_changed=len(_changed(catalog, manifest)),
        num_rows=sum(pin.num_rows for pin in manifest.pins),
        num_carried=sum(pin.carried_from is not None for pin in manifest.pins),
        num_accepted=sum(gate.accepted for gate in manifest.gates),
        aliases=tuple(alias for alias, number in aliases.items() if number == manifest.number),
    )


def describe_release(store: Store, name: str) -> DescribedRelease:
    """One release by number or alias.

    Raises:
        MissingVersionError: Listing the aliases and releases there are.
        StoreError: If its manifest is damaged.
    """
    catalog = ReleaseCatalog(store)
    manifest = catalog.resolve(name)
    stays = [stay for alias in catalog.aliases() for stay in _stays(catalog, alias, manifest.number)]
    return DescribedRelease(manifest, _changed(catalog, manifest), tuple(stays))


def _changed(catalog: ReleaseCatalog, manifest: Manifest) -> tuple[str, ...]:
    try:
        before = catalog.manifest(manifest.parent).pins if manifest.parent else ()
    except (MissingVersionError, DamagedFileError):
        before = ()
    known = {(pin.table, pin.version) for pin in before}
    return tuple(pin.table for pin in manifest.pins if (pin.table, pin.version) not in known)


def _stays(catalog: ReleaseCatalog, alias: str, number: int) -> Iterator[AliasStay]:
    moves = [*catalog.moves(alias).values()]
    for move, replacement in pairwise([*moves, None]):
        if move is not None and move.release == number:
            yield AliasStay(alias, move.created_at, replacement.created_at if replacement else None)

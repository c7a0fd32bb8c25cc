"""Moving aliases: forward to a release that was checked, and back to the one before."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from featurestore.errors import MissingVersionError
from featurestore.jobs.lock import FeatureLock, wait_for_lock
from featurestore.release import ReleaseCatalog, check_alias
from featurestore.store import Store

_SECONDS: Final = 30.0
"""The lock of aliases is held for a moment: long to wait for, and long to be silent."""


@dataclass(frozen=True, slots=True)
class AliasReport:
    """Where an alias is.

    Attributes:
        alias: Such as ``production``.
        before: The release that it named; None if it was new.
        release: The release that it names now.
    """

    alias: str
    before: int | None
    release: int

    @property
    def moved(self) -> bool:
        """Whether it named another release, or none."""
        return self.before != self.release


def aliases_lock(store: Store) -> AbstractContextManager[FeatureLock]:
    """The right to move aliases, and to remove releases that none names.

    Apart from the publish lock, so that production can be rolled back while a release is being made.

    Raises:
        LockHeldError: On entering, if it is not free within half a minute.
    """
    return wait_for_lock(store.objects, "aliases", patience_seconds=_SECONDS, lease_seconds=_SECONDS)


def promote(store: Store, release: str, *, alias: str = "production") -> AliasReport:
    """Make an alias name a release that exists.

    Args:
        store: The store.
        release: Its number, or another alias (``canary``).
        alias: Made if it is new.

    Raises:
        MissingVersionError: Listing the aliases and releases there are.
        UsageError: If ``alias`` is no name.
        LockHeldError: If aliases are being moved all the time.
    """
    catalog = ReleaseCatalog(store)
    with aliases_lock(store) as lock:
        number = catalog.resolve(release).number
        before = catalog.aliases().get(alias)
        lock.check()
        catalog.point(alias, number)
    return AliasReport(alias, before, number)


def rollback(store: Store, *, alias: str = "production", to: int | None = None) -> AliasReport:
    """Make an alias name an earlier release again. Nothing else changes: no table, no release.

    Args:
        store: The store.
        alias: An alias that exists.
        to: The release; if None the one that the alias named before it first named the present one, so that
            one rollback after another goes further back.

    Raises:
        UsageError: If ``alias`` is no name.
        MissingVersionError: If there is no such alias, or no release to go back to.
        LockHeldError: If aliases are being moved all the time.
    """
    check_alias(alias)
    catalog = ReleaseCatalog(store)
    with aliases_lock(store) as lock:
        named = [move.release for move in catalog.moves(alias).values()]
        if not named:
            catalog.resolve(alias)
        target = _before(catalog, alias, named) if to is None else to
        lock.check()
        catalog.point(alias, target)
    return AliasReport(alias, named[-1], target)


def _before(catalog: ReleaseCatalog, alias: str, named: list[int]) -> int:
    existing, standing = set(catalog.numbers()), catalog.successors()
    today = [standing.get(number, number) for number in named]
    earlier = [number for number in today[: today.index(today[-1])] if number in existing]
    if not earlier:
        raise MissingVersionError(
            f"alias {alias!r} named no earlier release than {named[-1]} that still exists.",
            hint="Name one with --to; `featurestore releases ls` lists them.",
        )
    return earlier[-1]

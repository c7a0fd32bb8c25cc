"""Which releases a store keeps, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from pydantic import Field

from featurestore.release import ReleaseCatalog
from featurestore.spec import Frozen
from featurestore.store import Store
from featurestore.superseded import places


class GcPolicy(Frozen):
    """What `featurestore gc` leaves: the section ``[gc]`` of a project's configuration."""

    keep_releases: int = Field(default=10, ge=1)
    """The newest releases; those that aliases name stay as well."""
    grace_hours: float = Field(default=24.0, ge=0.0)
    """What was released, named by an alias or replaced more recently stays: a reader or a job may use it."""
    abandoned_days: float = Field(default=30.0, ge=0.0)
    """Tables of specs that no view has as its head and no kept release pins stay so long after their last
    commit: language models may have been paid for their rows."""

    @property
    def grace(self) -> timedelta:
        """``grace_hours``."""
        return timedelta(hours=self.grace_hours)


@dataclass(frozen=True, slots=True)
class KeptRelease:
    """A release that stays, and the first reason for it."""

    number: int
    why: str


def kept_releases(store: Store, policy: GcPolicy) -> list[KeptRelease]:
    """The releases that stay, ascending.

    Raises:
        StoreError: If a manifest or a move of an alias is damaged.
    """
    catalog = ReleaseCatalog(store)
    existing = set(catalog.numbers())
    reasons: dict[int, str] = {}
    for number, why in _reasons(store, catalog, policy):
        if number in existing:
            reasons.setdefault(number, why)
    return [KeptRelease(number, reasons[number]) for number in sorted(reasons)]


def _reasons(store: Store, catalog: ReleaseCatalog, policy: GcPolicy) -> Iterator[tuple[int, str]]:
    aliases = catalog.aliases()
    for alias, number in aliases.items():
        yield number, f"alias {alias!r} names it"
    standing = places(store.objects)
    in_order = sorted(catalog.numbers(), key=lambda number: standing.get(number, number))
    for number in in_order[-policy.keep_releases :]:
        yield number, f"one of the newest {policy.keep_releases}"
    yield max(in_order, default=0), "the highest number, which must not be given out again"
    youngest = (datetime.now(UTC) - policy.grace).isoformat(timespec="seconds")
    for alias in aliases:
        for move, replacement in pairwise(catalog.moves(alias).values()):
            if replacement.created_at > youngest:
                yield move.release, f"alias {alias!r} named it until {replacement.created_at}"
    for number in in_order:
        if catalog.manifest(number).created_at > youngest:
            yield number, "it was published within the time of grace"

"""Events read: which texts, vectors, graphs and semantic ids of a release know held-out events?

An event set counts along the whole lineage (`featurestore.point_in_time`): a graph has read what its vectors
have read, and these what their texts have. What readers refuse to a trainer is a leak here. What was made
elsewhere, or of something that the release does not hold, may not say what it read.
"""

from collections.abc import Callable, Collection
from functools import cache
from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.errors import LeakError, UnknownNameError
from featurestore.point_in_time import event_sets_along, pins_along, refuse_leaks
from featurestore.reader import Release
from featurestore.release import TablePin
from featurestore.spec import CodesSpec, GraphSpec, ImportedTextSpec, ImportedVectorSpec, VectorSpec
from recommender.leaks.finding import Finding

CHECK: Final = "events read"
_KINDS: Final = ("text", "vector", "graph", "codes")


def check_events_read(release: Release, *, accept: Collection[str] = ()) -> list[Finding]:
    """Every derived feature view of a release, by the event sets along its lineage.

    Args:
        release: An opened release.
        accept: Features that read held-out events on purpose, such as ``user_cot-train-valid`` for a final
            test: they are notes.

    Raises:
        UnknownNameError: If a feature of ``accept`` is not in the release.
    """
    pins = [pin for pin in release.features() if pin.spec.kind in _KINDS]
    known = {pin.spec.feature for pin in pins}
    for name in accept:
        if name not in known:
            raise UnknownNameError("feature", name, known)
    first_events = cache(lambda: _first_events(release))
    return [_finding(release, pin, first_events, accepted=pin.spec.feature in accept) for pin in pins]


def silent_origins(release: Release, pin: TablePin) -> list[str]:
    """What a version was made of, itself included, that does not say which events it read; nearest first."""
    pinned = {each.spec.digest for each in release.features()}
    return [_named(each) for each in pins_along(release.manifest, pin) if _is_silent(each, pinned)]


def _is_silent(pin: TablePin, pinned: Collection[str]) -> bool:
    """Whether a version names no events, and nobody can tell that it read none."""
    if pin.event_sets:
        return False
    match pin.spec:
        case ImportedTextSpec() | ImportedVectorSpec():
            return True
        case VectorSpec():
            return pin.spec.text_digest not in pinned
        case GraphSpec() | CodesSpec():
            return pin.spec.event_set is None and pin.spec.vector_digest not in pinned
        case _:
            return False


def _finding(
    release: Release, pin: TablePin, first_events: Callable[[], dict[str, int]], *, accepted: bool
) -> Finding:
    sets = ", ".join(event_sets_along(release.manifest, pin))
    figures: dict[str, float | int | str] = {"event_sets": sets}
    try:
        refuse_leaks(release.manifest, pin, (c.TRAIN,), first_events=first_events)
    except LeakError as error:
        detail = f"accepted: {error.message}" if accepted else error.message
        return Finding(CHECK, _named(pin), "note" if accepted else "leak", figures, detail)
    if silent := silent_origins(release, pin):
        origins = ", ".join(each if each != _named(pin) else "it" for each in silent)
        detail = f"not known: {origins} does not say which events were read (import --events says so)."
        return Finding(CHECK, _named(pin), "unknown", figures, detail)
    return Finding(
        CHECK, _named(pin), "ok", figures, f"training events only: {sets}." if sets else "no events."
    )


def _named(pin: TablePin) -> str:
    return f"{pin.spec.kind} {pin.name}"


def _first_events(release: Release) -> dict[str, int]:
    """The earliest timestamp of each part that has any."""
    events = release.interactions(*c.PARTS).drop_nulls(c.TIMESTAMP)
    return dict(events.group_by(c.PART).agg(pl.col(c.TIMESTAMP).min()).iter_rows())

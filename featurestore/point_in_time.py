"""Event sets: which events a text was made from, and with which events it may be joined.

``1f0c2ab4e5d60718:train``          the training part of a split (the first 16 characters of its checksum)
``1f0c2ab4e5d60718:train+valid``    two of its parts
``log:1404172800``                  every event up to a moment (unix seconds, the moment included)

What is made of other things has read what they read: a vector the events of its text, a graph those of its
vectors. So an event set counts along the whole lineage inside a release, whatever a row itself says.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from featurestore import columns as c
from featurestore.errors import LeakError, MissingVersionError, UsageError
from featurestore.features import choose_view
from featurestore.release import Manifest, TablePin
from featurestore.spec import AnySpec, CodesSpec, GraphSpec, Kind, TextSpec, VectorSpec
from featurestore.splits import LOG_PREFIX, SplitRecord

_LOG: Final = LOG_PREFIX.removesuffix(":")
_CURRENT: Final = "current"
_CHECKSUM_CHARS: Final = 16

FirstEvents = Callable[[], Mapping[str, int]]
"""Gives part → its earliest timestamp (unix seconds); parts without timestamps are left out."""


@dataclass(frozen=True, slots=True)
class EventSet:
    """Parts of one split, or the log up to a moment.

    Attributes:
        split: First 16 characters of the split's checksum; empty for a log.
        parts: Parts of the split, in the order train, valid, test; none for a log.
        until: Unix seconds, UTC, the moment included; None for parts.
    """

    split: str
    parts: tuple[str, ...] = ()
    until: int | None = None

    @property
    def name(self) -> str:
        """What rows carry in their ``event_set`` column."""
        return f"{_LOG}:{self.until}" if self.until is not None else f"{self.split}:{'+'.join(self.parts)}"

    def includes(self, other: "EventSet") -> bool:
        """Whether all events of another set are certainly among these."""
        if self.until is not None or other.until is not None:
            return other.until is not None and self.until is not None and other.until <= self.until
        return self.split == other.split and set(other.parts) <= set(self.parts)


def parse_event_set(name: str) -> EventSet:
    """The event set that a row names.

    Raises:
        UsageError: If the name is none.
    """
    scope, separator, rest = name.partition(":")
    if separator and scope == _LOG and rest.isdecimal():
        return EventSet("", until=int(rest))
    parts = rest.split("+")
    if scope and len(set(parts)) == len(parts) and set(parts) <= set(c.PARTS):
        return EventSet(scope, tuple(part for part in c.PARTS if part in parts))
    raise UsageError(
        f"{name!r} names no events.",
        hint="Such as train, train+valid, current:train, or log:2014-07-01 for all events before that day.",
    )


def joined_event_set(names: Collection[str]) -> str | None:
    """One event set that holds all of some, for the rows of what learned from all; None for none.

    Raises:
        LeakError: If they are of several splits, or of a split and of a log.
    """
    sets = [parse_event_set(name) for name in sorted(names)]
    if not sets:
        return None
    if len({(each.split, each.until is None) for each in sets}) > 1:
        raise LeakError(
            "texts, vectors and adapters read events that no split holds together: "
            f"{', '.join(sorted(names))}.",
            hint="Make all of them from the training events of one split.",
        )
    parts = tuple(part for part in c.PARTS if any(part in each.parts for each in sets))
    until = max((each.until for each in sets if each.until is not None), default=None)
    return EventSet(sets[0].split, parts, until).name


def wanted_event_set(events: str, split: SplitRecord | None) -> EventSet:
    """The event set that a person asks for.

    Args:
        events: ``train`` or ``train+valid`` of the given split, a full name, ``log:1404172800``, or
            ``log:2014-07-01``: the log up to the last second before that day (UTC), or before that moment if
            a time of day follows.
        split: What parts are parts of; None if there is none.

    Raises:
        UsageError: If the words name no events, or parts of a split and there is none.
    """
    scope, _, rest = events.rpartition(":")
    if re.match(rf"{_LOG}:\d{{4}}-", events):
        return EventSet("", until=_moment(events.removeprefix(f"{_LOG}:")) - 1)
    if scope not in {"", _CURRENT}:
        return parse_event_set(events)
    if split is None:
        raise UsageError(f"{events!r} names parts of a split, but there is no split here.")
    return parse_event_set(f"{split.checksum[:_CHECKSUM_CHARS]}:{rest}")


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no date.", hint="Write it as 2014-07-01 or 2014-07-01T12:00."
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def pins_along(manifest: Manifest, pin: TablePin) -> list[TablePin]:
    """A pin and all that it was made of within the release, nearest first, each once."""
    found = [pin]
    for each in found:
        found += [other for other in _made_of(manifest, each.spec) if other not in found]
    return found


def event_sets_along(manifest: Manifest, pin: TablePin) -> tuple[str, ...]:
    """Names of all event sets that a pinned version has read, itself or by what it was made of; sorted."""
    return tuple(sorted({name for each in pins_along(manifest, pin) for name in _own_event_sets(each)}))


def refuse_leaks(
    manifest: Manifest, pin: TablePin, allowed: Collection[str], *, first_events: FirstEvents
) -> None:
    """Refuse a version that has read events which its reader may not know of.

    Args:
        manifest: The release.
        pin: What is to be read.
        allowed: Split parts whose events it may have read.
        first_events: Asked if a version was made from the log up to a moment.

    Raises:
        LeakError: If it read another part, events of another split than the release's, or the log up to a
            moment after the first event of another part; itself, or by what it was made of.
    """
    first_events = cache(first_events)  # it reads all interactions
    for each in pins_along(manifest, pin):
        reasons = {
            name: _why_refused(parse_event_set(name), manifest.split, allowed, first_events)
            for name in sorted(_own_event_sets(each))
        }
        refused = {name: reason for name, reason in reasons.items() if reason is not None}
        if not refused:
            continue
        said, hint = next(iter(refused.values()))
        subject = f"{pin.spec.kind} {pin.name} of release {manifest.number}"
        origin = "" if each is pin else f"was made of {each.spec.kind} {each.name}, which "
        raise LeakError(f"{subject} {origin}read events of {', '.join(refused)}; {said}", hint=hint)


def pin_made_from(
    manifest: Manifest, kind: Kind, feature: str, view: str | None, wanted: EventSet
) -> TablePin:
    """The version of a feature view that was made from an event set, or from no events at all.

    Args:
        manifest: The release.
        kind: Text, vector or graph.
        feature: Such as ``user_cot``; also its version for these events is looked for (`feature_name`).
        view: See `featurestore.features.choose_view`.
        wanted: The events.

    Raises:
        MissingVersionError: If there is none; says what there is.
        UsageError: If ``view`` is None and the choice is open.
    """
    names = (feature, feature_name(feature, wanted))
    there: dict[str, str] = {}
    for name in names:
        views = {
            pin.spec.view: pin
            for pin in manifest.pins
            if pin.spec.kind == kind and pin.spec.feature == name and (view is None or pin.spec.view == view)
        }
        if not views:
            continue
        pin = views[choose_view(f"{kind} feature {name!r}", view, list(views))]
        sets = event_sets_along(manifest, pin)
        if sets in {(), (wanted.name,)}:
            return pin
        there[pin.name] = ", ".join(sets)
    listed = "; ".join(f"{name} from {sets}" for name, sets in there.items()) or "none of any events"
    subject = f"{kind} {feature}{f'.{view}' if view else ''}"
    raise MissingVersionError(
        f"{subject} made from the events {wanted.name} is missing in release {manifest.number}; "
        f"there is: {listed}.",
        hint="Make it from these events and publish, or read another release.",
    )


def feature_name(feature: str, events: EventSet) -> str:
    """The name of a feature's version for other events than the training part.

    ``user_cot``, ``user_cot-train-valid``, ``user_cot-log-1404172800``.
    """
    if events.until is not None:
        return f"{feature}-{_LOG}-{events.until}"
    return feature if events.parts == (c.TRAIN,) else "-".join([feature, *events.parts])


def _own_event_sets(pin: TablePin) -> set[str]:
    stated = pin.spec.event_set if isinstance(pin.spec, GraphSpec | CodesSpec) else None
    return {*pin.event_sets, *(stated.split(",") if stated else ())}


def _made_of(manifest: Manifest, spec: AnySpec) -> Iterator[TablePin]:
    digest, texts = None, ()
    match spec:
        case VectorSpec():
            digest = spec.text_digest
        case GraphSpec() | CodesSpec():
            digest = spec.vector_digest
        case TextSpec():
            own = (name if "." in name else f"{spec.feature}.{name}" for name in spec.upstream)
            texts = tuple(own)
        case _:
            return
    for pin in manifest.pins:
        if pin.spec.digest == digest or (pin.spec.kind == "text" and pin.name in texts):
            yield pin


def _why_refused(
    events: EventSet, split: SplitRecord | None, allowed: Collection[str], first_events: FirstEvents
) -> tuple[str, str] | None:
    """What is wrong with an event set, and what to do about it; None if nothing is."""
    listed = ", ".join(allowed) or "none"
    hint = "Make it from training events, or pass allow_parts=('train', 'valid') for a final test."
    if events.until is not None:
        first = first_events()
        read = [part for part in c.PARTS if first.get(part, events.until + 1) <= events.until]
        held_out = [part for part in read if part not in allowed]
        said = f"by then there were events of parts {', '.join(held_out)}; allowed are parts {listed}."
        return (said, hint) if held_out else None
    if split is None or not split.checksum.startswith(events.split):
        own = split.checksum[:_CHECKSUM_CHARS] if split else "none"
        return (
            f"the split of this release is {own}, which may hold out what another one trains on.",
            "Generate, embed and build graphs again under the current split, then publish.",
        )
    if set(events.parts) <= set(allowed):
        return None
    return f"allowed are parts {listed}.", hint

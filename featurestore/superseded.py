"""Releases that were replaced by a redacted one: ``superseded/000003.json`` says by which, and why.

The record outlives the release, so that whoever still asks for it is told where to look. It holds no name.
"""

import re
from typing import Final, Literal

from featurestore.ids import canonical_json
from featurestore.objects import same_object
from featurestore.spec import Frozen
from featurestore.store import ObjectStore

_RECORD: Final = re.compile(r"^superseded/(?P<number>\d{6})-by-(?P<successor>\d{6})\.json$")


class Superseded(Frozen):
    """Why a release is gone."""

    release: int
    successor: int
    reason: Literal["erasure"] = "erasure"
    at: str
    """UTC, ISO 8601."""


def record_superseded(objects: ObjectStore, record: Superseded) -> None:
    """Keep the record of a release that goes; nothing is written if it is there."""
    path = f"superseded/{record.release:06d}-by-{record.successor:06d}.json"
    same_object(objects, path, canonical_json(record.model_dump(mode="json")).encode())


def successors(objects: ObjectStore) -> dict[int, int]:
    """Release that is gone → the one that stands in its place today. Costs one listing."""
    found = (_RECORD.match(path) for path in objects.list("superseded/"))
    direct = {int(match["number"]): int(match["successor"]) for match in found if match}
    return {number: _last(direct, number) for number in direct}


def places(objects: ObjectStore) -> dict[int, int]:
    """Redacted release → the number that it stands for in the order of releases."""
    standing: dict[int, int] = {}
    for number, successor in successors(objects).items():
        standing[successor] = min(number, standing.get(successor, number))
    return standing


def _last(direct: dict[int, int], number: int) -> int:
    while number in direct:
        number = direct[number]
    return number

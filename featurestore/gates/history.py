"""What the gates measured, release by release: is a value creeping towards its threshold?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from featurestore.errors import UnknownNameError
from featurestore.gates.catalog import GATES
from featurestore.readable_manifests import DamagedRelease, read_manifests
from featurestore.release import ReleaseCatalog
from featurestore.store import Store

_BLOCKS: Final = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class GatePoint:
    """One value of a gate.

    Attributes:
        release: The release's number.
        created_at: When it was made: UTC, ISO 8601.
        value: What was measured.
        threshold: What was asked for then.
        accepted: It was refused, and a person accepted it.
    """

    release: int
    created_at: str
    value: float
    threshold: float
    accepted: bool


@dataclass(frozen=True, slots=True)
class GateSeries:
    """The values of one gate of one feature, by ascending release; at least one.

    Attributes:
        gate: Name of the gate.
        feature: ``text item_cot.fused``.
        stratum: Entities that the values are about; all if empty.
        points: The values.
    """

    gate: str
    feature: str
    stratum: str
    points: tuple[GatePoint, ...]

    @property
    def last(self) -> GatePoint:
        """The newest value."""
        return self.points[-1]

    @property
    def used(self) -> float:
        """Share of what the threshold allows that the newest value takes: 0 is perfect, 1 the limit."""
        value, allowed = self.last.value, self.last.threshold
        if GATES[self.gate].at_least:
            value, allowed = 1.0 - value, 1.0 - allowed
        if value <= 0:
            return 0.0
        return min(value / allowed, 1.0) if allowed > 0 else 1.0

    @property
    def trend(self) -> str:
        """The values as a row of blocks, scaled to their own range."""
        values = [point.value for point in self.points]
        low, span = min(values), max(values) - min(values)
        return "".join(_BLOCKS[round((v - low) / span * (len(_BLOCKS) - 1)) if span else 0] for v in values)


@dataclass(frozen=True, slots=True)
class GateHistory:
    """What the gates measured.

    Attributes:
        series: Those nearest to refusing first.
        damaged: Releases that are left out, because their manifests cannot be read.
    """

    series: tuple[GateSeries, ...]
    damaged: tuple[DamagedRelease, ...] = ()


def gate_history(
    store: Store,
    *,
    gates: Sequence[str] = (),
    features: Sequence[str] = (),
    num_releases: int = 50,
) -> GateHistory:
    """Values of the gates over the newest releases; releases with damaged manifests are left out and named.

    Args:
        store: The store.
        gates: Only these gates; all if empty.
        features: Only features (``item_cot``) or views (``item_cot.fused``) of these names; all if empty.
        num_releases: Releases at most, the newest.

    Raises:
        UnknownNameError: If there is no such gate, or no release has measured such a feature.
    """
    for gate in gates:
        if gate not in GATES:
            raise UnknownNameError("gate", gate, GATES)
    catalog = ReleaseCatalog(store)
    found: dict[tuple[str, str, str], list[GatePoint]] = {}
    releases = read_manifests(catalog, catalog.numbers()[-num_releases:])
    for manifest in releases.manifests:
        for result in manifest.gates:
            point = GatePoint(
                manifest.number, manifest.created_at, result.value, result.threshold, result.accepted
            )
            found.setdefault((result.gate, result.feature, result.stratum), []).append(point)
    _require_known(features, {name for _, feature, _ in found for name in _names(feature)})
    chosen = [
        GateSeries(gate, feature, stratum, tuple(points))
        for (gate, feature, stratum), points in found.items()
        if (not gates or gate in gates) and (not features or _names(feature) & set(features))
    ]
    chosen.sort(key=lambda series: (-series.used, series.gate, series.feature, series.stratum))
    return GateHistory(tuple(chosen), releases.damaged)


def _names(feature: str) -> set[str]:
    """``{"item_cot", "item_cot.fused"}`` of ``text item_cot.fused``."""
    name = feature.partition(" ")[2]
    return {name, name.partition(".")[0]}


def _require_known(features: Sequence[str], known: set[str]) -> None:
    for feature in features:
        if feature not in known:
            raise UnknownNameError("feature", feature, known)

"""The history of the gates as one HTML page: a small plot of each gate of each feature, and its threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from featurestore.gates.catalog import GATES
from featurestore.gates.history import GatePoint, GateSeries
from featurestore.pages.html_page import render_page

_TEMPLATE: Final = "featurestore/gates/page.html.jinja"
_WIDTH: Final = 300
_HEIGHT: Final = 90
_MARGIN: Final = 6
"""Pixels kept free at every edge, so that no dot is cut."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One value in a plot.

    Attributes:
        x: Pixels from the left.
        y: Pixels from the top.
        accepted: Whether a person accepted the refusal.
        label: What it says when pointed at.
    """

    x: float
    y: float
    accepted: bool
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One gate of one feature over releases, the newest at the right.

    Attributes:
        title: Feature and stratum.
        caption: The newest value and its bound.
        dots: One per release that measured it.
        line: The dots as the points of an SVG polyline.
        bound: The thresholds as the points of another.
        first: First release on the axis.
        last: Last one.
    """

    title: str
    caption: str
    dots: tuple[Dot, ...]
    line: str
    bound: str
    first: int
    last: int
    width: int = _WIDTH
    height: int = _HEIGHT


@dataclass(frozen=True, slots=True)
class _Section:
    gate: str
    measures: str
    plots: tuple[Plot, ...]


def render_history(history: Sequence[GateSeries], *, store: str) -> str:
    """The page.

    Args:
        history: At least one value of at least one gate, in the order in which sections are to appear.
        store: What the page calls the store.
    """
    numbers = sorted({point.release for series in history for point in series.points})
    sections = [
        _Section(gate, GATES[gate].measures, tuple(_plot(s, numbers) for s in history if s.gate == gate))
        for gate in dict.fromkeys(series.gate for series in history)
    ]
    values = {"store": store, "first": numbers[0], "last": numbers[-1], "sections": sections}
    return render_page(_TEMPLATE, values)


def _plot(series: GateSeries, numbers: Sequence[int]) -> Plot:
    """Values and thresholds on one scale; releases stand at equal distances, measured or not."""
    places = {number: place for place, number in enumerate(numbers)}
    values = [value for point in series.points for value in (point.value, point.threshold)]
    low, span = min(values), (max(values) - min(values)) or 1.0

    def at(point: GatePoint, value: float) -> tuple[float, float]:
        x = _MARGIN + places[point.release] * (_WIDTH - 2 * _MARGIN) / max(len(numbers) - 1, 1)
        y = _HEIGHT - _MARGIN - (value - low) / span * (_HEIGHT - 2 * _MARGIN)
        return round(x, 1), round(y, 1)

    dots = tuple(Dot(*at(point, point.value), point.accepted, _label(point)) for point in series.points)
    bounds = [at(point, point.threshold) for point in series.points]
    side = "at least" if GATES[series.gate].at_least else "at most"
    return Plot(
        title=f"{series.feature}, {series.stratum}" if series.stratum else series.feature,
        caption=f"{series.last.value:.4g}, {side} {series.last.threshold:.4g}",
        dots=dots,
        line=_points([(dot.x, dot.y) for dot in dots]),
        bound=_points([(0, bounds[0][1]), *bounds, (_WIDTH, bounds[-1][1])]),
        first=numbers[0],
        last=numbers[-1],
    )


def _label(point: GatePoint) -> str:
    accepted = ", refused and accepted" if point.accepted else ""
    return f"release {point.release}, {point.created_at}: {point.value:.4g}{accepted}"


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)

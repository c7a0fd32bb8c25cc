"""Bars and curves as shapes for an SVG, in pixels from the top left corner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_BAR_WIDTH: Final = 14
_GROUP_GAP: Final = 26
_HEIGHT: Final = 150
_BASE: Final = 130
"""Pixels from the top to the axis."""
_TOP: Final = 14
_CURVE_WIDTH: Final = 336


@dataclass(frozen=True, slots=True)
class Shape:
    """A bar, or a dot of a curve.

    Attributes:
        series: Number of the series it belongs to, from 0: its colour.
        x: Left edge, or centre.
        y: Upper edge, or centre.
        height: Of a bar; 0 of a dot.
        label: What it says when pointed at.
    """

    series: int
    x: float
    y: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class AxisText:
    """A word under the axis.

    Attributes:
        x: Its centre.
        text: What it says.
    """

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A curve without its dots.

    Attributes:
        series: As in `Shape`.
        points: Of an SVG polyline.
    """

    series: int
    points: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture.

    Attributes:
        title: What it shows.
        top: Value at the upper edge.
        bars: Bars; none if it shows curves.
        dots: Dots of curves.
        lines: What joins the dots.
        words: Along the axis.
        width: Pixels.
        height: Pixels.
        base: From the top to the axis.
    """

    title: str
    top: str
    bars: tuple[Shape, ...]
    dots: tuple[Shape, ...]
    lines: tuple[Line, ...]
    words: tuple[AxisText, ...]
    width: int
    height: int = _HEIGHT
    base: int = _BASE


@dataclass(frozen=True, slots=True)
class Curve:
    """Validations of one training run.

    Attributes:
        name: Of the run.
        series: As in `Shape`.
        points: (epoch, value) pairs, epochs rising.
    """

    name: str
    series: int
    points: tuple[tuple[int, float], ...]


def bar_figure(title: str, groups: Sequence[str], values: Mapping[str, Sequence[float]]) -> Figure:
    """Groups of bars from a common zero, one bar per series in each.

    Args:
        title: What it shows.
        groups: Their names, left to right.
        values: Name of a series → a value, 0 or more, for every group.
    """
    highest = max((value for series in values.values() for value in series), default=0.0)
    step = len(values) * _BAR_WIDTH + _GROUP_GAP
    step = max(step, *(7 * len(name) + 8 for name in groups)) if groups else step
    bars: list[Shape] = []
    for number, (name, series) in enumerate(values.items()):
        for place, value in enumerate(series):
            height = round((_BASE - _TOP) * value / (highest or 1.0), 1)
            x = place * step + (step - len(values) * _BAR_WIDTH) / 2 + number * _BAR_WIDTH
            label = f"{name}, {groups[place]}: {value:.4f}"
            bars.append(Shape(number, round(x, 1), round(_BASE - height, 1), height, label))
    words = tuple(AxisText((place + 0.5) * step, name) for place, name in enumerate(groups))
    return Figure(title, f"{highest:.4g}", tuple(bars), (), (), words, width=max(1, len(groups)) * step)


def curve_figure(title: str, curves: Sequence[Curve]) -> Figure:
    """Values over epochs on one scale, from the lowest to the highest of all."""
    values = [value for curve in curves for _, value in curve.points]
    epochs = [epoch for curve in curves for epoch, _ in curve.points]
    low, high, last = min(values, default=0.0), max(values, default=0.0), max(epochs, default=1)

    def at(epoch: int, value: float) -> tuple[float, float]:
        x = 6 + (_CURVE_WIDTH - 12) * epoch / max(last, 1)
        return round(x, 1), round(_BASE - 6 - (_BASE - 6 - _TOP) * (value - low) / ((high - low) or 1.0), 1)

    dots: list[Shape] = []
    lines: list[Line] = []
    for curve in curves:
        places = [at(*point) for point in curve.points]
        dots += [
            Shape(curve.series, x, y, 0.0, f"{curve.name}, epoch {epoch}: {value:.4f}")
            for (x, y), (epoch, value) in zip(places, curve.points, strict=True)
        ]
        lines.append(Line(curve.series, " ".join(f"{x},{y}" for x, y in places)))
    words = (AxisText(12.0, "0"), AxisText(_CURVE_WIDTH - 30.0, f"epoch {last}"))
    return Figure(
        title=title,
        top=f"{low:.4g} to {high:.4g}",
        bars=(),
        dots=tuple(dots),
        lines=tuple(lines),
        words=words,
        width=_CURVE_WIDTH,
    )

"""Histograms of two samples beside each other, as rectangles for an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from featurestore.pages.word_difference import SideLetter

_NUM_BINS: Final = 12
_WIDTH: Final = 336
_HEIGHT: Final = 130
_BASE: Final = 110
"""Pixels from the top to the axis."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle, in pixels from the top left corner.

    Attributes:
        side: Whose values it counts.
        x: Left edge.
        y: Upper edge.
        width: To the right.
        height: Down to the axis.
        label: What it says when pointed at.
    """

    side: SideLetter
    x: int
    y: int
    width: int
    height: int
    label: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Two histograms over common bins.

    Attributes:
        title: What is counted.
        low: Lower end of the axis.
        high: Upper end.
        bars: Of both sides; empty bins have none.
        width: Of the picture, pixels.
        height: Of the picture, pixels.
        base: From its top to the axis, pixels.
    """

    title: str
    low: str
    high: str
    bars: tuple[Bar, ...]
    width: int = _WIDTH
    height: int = _HEIGHT
    base: int = _BASE


def histogram(
    title: str, first: Sequence[int], second: Sequence[int], *, names: tuple[str, str] = ("A", "B")
) -> Histogram:
    """The histograms of two samples of whole numbers, in twelve bins of equal width.

    Args:
        title: What is counted.
        first: Values of side ``a``; may be empty.
        second: Values of side ``b``; may be empty.
        names: What the two sides are called.
    """
    values = [*first, *second]
    low, high = min(values, default=0), max(values, default=0)
    width = (high - low) // _NUM_BINS + 1
    counts = [_counts(side, low, width) for side in (first, second)]
    most = max(1, *counts[0], *counts[1])
    step = _WIDTH // _NUM_BINS

    def bar(side: SideLetter, number: int, count: int) -> Bar:
        height = max(1, count * (_BASE - 5) // most)
        start = low + number * width
        return Bar(
            side=side,
            x=number * step + (step // 2 if side == "b" else 0),
            y=_BASE - height,
            width=step // 2 - 1,
            height=height,
            label=f"{names[0] if side == 'a' else names[1]}: {count} of {start:,} to {start + width - 1:,}",
        )

    bars = [bar("a", number, count) for number, count in enumerate(counts[0]) if count]
    bars += [bar("b", number, count) for number, count in enumerate(counts[1]) if count]
    return Histogram(title, f"{low:,}", f"{low + _NUM_BINS * width - 1:,}", tuple(bars))


def _counts(values: Sequence[int], low: int, width: int) -> list[int]:
    counts = [0] * _NUM_BINS
    for value in values:
        counts[(value - low) // width] += 1
    return counts

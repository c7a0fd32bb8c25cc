"""Hyperbolic space in Lorentz's model: points (x_0, x) with x_0 = √(1 + ‖x‖²), curvature -1.

Nickel and Kiela, "Learning Continuous Hierarchies in the Lorentz Model of Hyperbolic Geometry", ICML 2018:

    <x, y>_L = -x_0 y_0 + Σ x_k y_k,   d(x, y) = arcosh(-<x, y>_L),   origin (1, 0, …, 0)
    exp(v) = (cosh ‖v‖, sinh ‖v‖ v / ‖v‖),   log(x) = arsinh ‖x‖ x / ‖x‖          at the origin

In float32 nothing is taken from x_0 that can be had from x: arsinh ‖x‖ is exact where arcosh x_0 is not, and
-<x, y>_L - 1 is half of ‖x - y‖² - (x_0 - y_0)². x_0² has lost the 1 of the model by a length of 8, so
vectors are shortened first: those beyond `STRAIGHT` towards `LONGEST`, which none passes, with a gradient
that leads back from any length. What remains is an error of plain products <x, y>_L of points that lie far
out and near each other: 2e-4 at length 4, 2e-3 at the rim, where it can change the order of points within 0.1
of each other. Letters: d dimensions, so d + 1 numbers of a point.
"""

from typing import Final

import torch

STRAIGHT: Final = 4.0
"""Length up to which vectors are what they are."""
LONGEST: Final = 5.0
"""Distance of a point from the origin at most; x_0 is 74 there."""
_TINY: Final = 1e-7
_CLOSEST: Final = 1e-6
"""Gaps below it have no gradient: that of the distance grows beyond all bounds at 0."""


def lifted(space: torch.Tensor) -> torch.Tensor:
    """(…, d + 1) points whose last d numbers are given."""
    return torch.cat([(1 + space.square().sum(dim=-1, keepdim=True)).sqrt(), space], dim=-1)


def exp_origin(tangents: torch.Tensor) -> torch.Tensor:
    """(…, d + 1) points that (…, d) vectors at the origin lead to, along geodesics of their length.

    A length l beyond `STRAIGHT` is taken for STRAIGHT + e / (1 + e / (LONGEST - STRAIGHT)), e = l - STRAIGHT,
    which goes on with the same slope.
    """
    lengths = torch.linalg.vector_norm(tangents, dim=-1, keepdim=True).clamp(min=_TINY)
    excess = (lengths - STRAIGHT).clamp(min=0)
    shortened = lengths.clamp(max=STRAIGHT) + excess / (1 + excess / (LONGEST - STRAIGHT))
    return lifted(tangents * (shortened.sinh() / lengths))


def log_origin(points: torch.Tensor) -> torch.Tensor:
    """(…, d) vectors at the origin that lead to (…, d + 1) points."""
    space = points[..., 1:]
    lengths = torch.linalg.vector_norm(space, dim=-1, keepdim=True).clamp(min=_TINY)
    return space * (lengths.asinh() / lengths)


def gaps(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(…,) -<x, y>_L - 1 ≥ 0 of pairs of points: 0 where they are one, and growing with the distance."""
    difference = first - second
    return 0.5 * (difference[..., 1:].square().sum(dim=-1) - difference[..., 0].square()).clamp(min=0)


def distances(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(…,) geodesic distances of pairs of points; of points that are one, 0.0014."""
    gap = gaps(first, second).clamp(min=_CLOSEST)
    return (gap + (gap * (gap + 2)).sqrt()).log1p()


def onto(sums: torch.Tensor) -> torch.Tensor:
    """Sums of points, scaled onto the model: Law et al., "Lorentzian Distance Learning", ICML 2019.

    Args:
        sums: (…, d + 1) sums of points with weights that are not negative and sum to 1.
    """
    space = sums[..., 1:]
    square = sums[..., :1].square() - space.square().sum(dim=-1, keepdim=True)  # 1 of a single point
    return lifted(space / square.clamp(min=0.5).sqrt())


def mirrored(points: torch.Tensor) -> torch.Tensor:
    """(…, d + 1) whose inner products with points are <·, ·>_L."""
    return torch.cat([-points[..., :1], points[..., 1:]], dim=-1)

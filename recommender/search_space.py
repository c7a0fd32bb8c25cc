"""Values that a search may give to settings. Each model's file declares its own as ``SPACE``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values, each alike."""

    values: tuple[str | int | float, ...]

    def draw(self, generator: np.random.Generator) -> str:
        """A value as text."""
        return str(self.values[int(generator.integers(len(self.values)))])


@dataclass(frozen=True, slots=True)
class LogUniform:
    """A number between two others, each order of magnitude alike; three digits are kept."""

    low: float
    high: float

    def draw(self, generator: np.random.Generator) -> str:
        """A value as text."""
        return f"{math.exp(generator.uniform(math.log(self.low), math.log(self.high))):.3g}"


SearchSpace: TypeAlias = Mapping[str, Choice | LogUniform]
"""Setting → its values."""

RANKING_SPACE: Final[SearchSpace] = {
    "learning_rate": LogUniform(5e-4, 2e-2),
    "reg": LogUniform(1e-6, 1e-2),
}
"""What every model that trains on pairs has in common."""


def draw_settings(space: SearchSpace, generator: np.random.Generator) -> dict[str, str]:
    """One value per setting, in the order of their names."""
    return {name: space[name].draw(generator) for name in sorted(space)}

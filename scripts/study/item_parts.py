"""Parts of a test by how many training users an item has."""

from dataclasses import dataclass
from typing import Final

from recommender.data import IntArray
from scripts.study.rank_metrics import BoolArray

_ALL: Final = 2**31


@dataclass(frozen=True, slots=True)
class ItemPart:
    """Test pairs whose item has so many training users.

    Attributes:
        fewest: At least.
        most: At most.
    """

    fewest: int = 0
    most: int = _ALL

    def inside(self, degrees: IntArray) -> BoolArray:
        """(m,) int64 training users of each pair's item → (m,) bool."""
        return (degrees >= self.fewest) & (degrees <= self.most)

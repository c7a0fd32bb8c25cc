"""Which constant temperature HGPO is compared with: the validation part chooses, of those that were run."""

from dataclasses import dataclass

import numpy as np

from scripts.study.beside import Row
from scripts.study.groups import Study
from scripts.study.lghrec import FIXED_GRID, LASTFM, MODEL


@dataclass(frozen=True, slots=True)
class FixedTemperature:
    """The constant that validation chose.

    Attributes:
        value: τ.
        run: Constants that were run, the chosen one among them.
    """

    value: str
    run: tuple[str, ...]

    @property
    def row(self) -> Row:
        """Its runs: LightGCN with both."""
        return MODEL, f"text-{FIXED_GRID[self.value]}"

    @property
    def is_tuned(self) -> bool:
        """Whether the whole grid was run."""
        return len(self.run) == len(FIXED_GRID)

    @property
    def words(self) -> str:
        """Which constant it is, and out of which."""
        said = "tuned, of" if self.is_tuned else "not tuned, run:"
        return f"τ = {self.value} ({said} {', '.join(self.run)})"


def choose_fixed(study: Study, metric: str) -> FixedTemperature | None:
    """The constant of the best validation metric, mean over the seeds that all constants that were run have.

    Args:
        study: Declared runs and their records; current ones count.
        metric: Of the validation part.

    Returns:
        None if none was run, or if they share no seed. Of equal ones the first of the grid.
    """
    found: dict[str, dict[int, float]] = {}
    for value, variant in FIXED_GRID.items():
        records = study.group(LASTFM, MODEL, f"text-{variant}").current.records
        if records:
            found[value] = {record.run.seed: record.validation[metric] for record in records}
    shared = set.intersection(*(set(seeds) for seeds in found.values())) if found else set[int]()
    if not shared:
        return None
    means = {value: float(np.mean([seeds[s] for s in sorted(shared)])) for value, seeds in found.items()}
    return FixedTemperature(max(means, key=lambda value: means[value]), tuple(found))

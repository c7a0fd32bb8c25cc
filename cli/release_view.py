"""What is said of a release that does not hold every feature as it is in the store."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurestore.releases.publish import CarriedFeature


def left_out_lines(left_out: Collection[str], release: int) -> list[str]:
    """A line for what a release lacks, and one that says how the next one gets it.

    Args:
        left_out: Views of models that learned from an earlier split.
        release: The release that lacks them.
    """
    if not left_out:
        return []
    what_to_do = (
        f"  to have it again: `featurestore train` with --release {release}, then `featurestore recommend "
        "--write` for lists and `featurestore vectors` for vectors, then `featurestore publish`; vectors "
        f"alone: `featurestore vectors --renew --release {release}`"
    )
    return [f"left out: {', '.join(left_out)}, of a model that learned from an earlier split", what_to_do]


def carried_lines(carried: "Iterable[CarriedFeature]") -> list[str]:
    """A line for each feature that stays as an earlier release has it."""
    return [
        f"carried from release {each.release}: {each.kind} {each.name}, "
        f"{each.num_rows:,} rows; its newest version has {each.successor_rows:,} so far"
        for each in carried
    ]

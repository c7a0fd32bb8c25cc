"""What is said of a release that does not hold every feature as it is in the store."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurestore.releases.publish import CarriedFeature


def left_out_lines(left_out: Collection[str], release: int, tuned: Collection[str] = ()) -> list[str]:
    """A line for what a release lacks, and one that says how the next one gets it; of adapters, two more.

    Args:
        left_out: Views of models and adapters that learned from an earlier split.
        release: The release that lacks them.
        tuned: Those of ``left_out`` that adapters made.
    """
    models = [name for name in left_out if name not in tuned]
    model_again = (
        f"`featurestore train` with --release {release}, then `featurestore recommend --write` for lists and "
        "`featurestore vectors` for vectors, then `featurestore publish`; vectors alone: "
        f"`featurestore vectors --renew --release {release}`"
    )
    adapter_again = (
        f"`featurestore train` with --release {release}, `featurestore vectors` and `featurestore publish`, "
        "then `featurestore tune` on those vectors and `featurestore publish`"
    )
    lines: list[str] = []
    for names, whose, again in ((models, "a model", model_again), (tuned, "an adapter", adapter_again)):
        if names:
            lines.append(f"left out: {', '.join(names)}, of {whose} that learned from an earlier split")
            lines.append(f"  to have it again: {again}")
    return lines


def carried_lines(carried: "Iterable[CarriedFeature]") -> list[str]:
    """A line for each feature that stays as an earlier release has it."""
    return [
        f"carried from release {each.release}: {each.kind} {each.name}, "
        f"{each.num_rows:,} rows; its newest version has {each.successor_rows:,} so far"
        for each in carried
    ]

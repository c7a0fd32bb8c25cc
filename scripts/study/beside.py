"""What documents that set one model beside others are made of."""

from dataclasses import dataclass
from typing import TypeAlias

from scripts.study.comparisons import Comparisons
from scripts.study.groups import Study
from scripts.study.rank_metrics import RankMetrics

Row: TypeAlias = tuple[str, str]
"""Model and label of a group of runs."""


@dataclass(frozen=True)
class Sources:
    """What documents are made of.

    Attributes:
        study: Declared runs and their records.
        metrics: Means from ranks.
        comparisons: Tests.
    """

    study: Study
    metrics: RankMetrics
    comparisons: Comparisons


def data_set(study: Study, dataset: str, texts: str) -> tuple[list[str], bool]:
    """Heading and size of a data set, and whether anything of it was run."""
    facts = study.records.facts(dataset)
    if facts is None:
        return [f"## {dataset}\n", f"Texts: {texts}. Nothing has been run.\n"], False
    counts = f"{facts.num_users:,} users, {facts.num_items:,} items; {facts.num_train:,} pairs train"
    return [f"## {dataset}\n", f"{counts}. Texts: {texts}.\n"], True


def verdict(*, is_reached: bool) -> str:
    """A target's last column."""
    return "reached" if is_reached else "**not reached**"

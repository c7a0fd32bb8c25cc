"""One model beside others: a table whose last column is what it has more than each of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from recommender.evaluation.significance import PairedTest
from scripts.study.comparisons import Comparisons, Sides
from scripts.study.groups import Study
from scripts.study.rank_metrics import RankMetrics
from scripts.study.tables import interval, table, title

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


@dataclass(frozen=True)
class Beside:
    """One model that others are compared with.

    Attributes:
        sources: See `Sources`.
        ours: The model, and its form.
        title: Its name in the last column.
        shown: Metrics of the columns.
        judged: Metric of the last column, and of the tests.
        name: Row → how it is written.
    """

    sources: Sources
    ours: Row
    title: str
    shown: tuple[str, ...]
    judged: str
    name: Callable[[Row], str]

    def tests(self, dataset: str, others: Sequence[Row]) -> dict[Row, PairedTest]:
        """Ours minus each of the others, Holm-corrected over all that were run."""
        study = self.sources.study
        ours = study.comparable(dataset, *self.ours).records
        found = {row: study.comparable(dataset, *row).records for row in others if row != self.ours}
        sides: dict[str, Sides] = {
            " ".join(r): (ours, theirs) for r, theirs in found.items() if ours and theirs
        }
        tests = self.sources.comparisons.family(sides, self.judged)
        return {row: tests[" ".join(row)] for row in found if " ".join(row) in tests}

    def table(self, dataset: str, others: Sequence[Row]) -> Iterator[str]:
        """Ours first, then the others that are declared on the data set."""
        tests = self.tests(dataset, others)
        rows: list[list[str]] = []
        for row in (self.ours, *others):
            group = self.sources.study.group(dataset, *row)
            if group.standings:
                cells = [self.sources.metrics.cell(group, metric) for metric in self.shown]
                test = tests.get(row)
                rows.append([self.name(row), *cells, f"{interval(test)}{test.mark}" if test else ""])
        last = f"{title(self.judged)}: {self.title} minus it"
        yield from table(["model", *map(title, self.shown), last], rows)


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

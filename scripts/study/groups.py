"""Declared runs and their records, grouped as tables show them: the seeds of one model and form together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from scripts.study.queue import Standing, standings
from scripts.study.records import Records
from scripts.study.runs import Record, Run

NOT_RUN: Final = "not run"
DAGGER: Final = "†"
SEEDS: Final = (
    "Mean ± standard deviation over seeds, all that are declared unless a cell says how many; one seed where "
    "there is no ±. A test of two models averages each over the seeds that both have, or over all if one "
    "trains nothing, and draws users, not seeds: *beyond chance* is of other users, not of other trainings."
)
"""How tables and tests treat seeds; every document says it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The seeds of a model in one form on a data set.

    Attributes:
        standings: One per declared seed; none if nothing was declared.
    """

    standings: tuple[Standing, ...] = ()

    @property
    def records(self) -> list[Record]:
        """What was run."""
        return [standing.record for standing in self.standings if standing.record is not None]

    @property
    def mark(self) -> str:
        """A dagger if a record is of earlier code, settings or data."""
        return DAGGER if any(s.record and s.state != "current" for s in self.standings) else ""

    @property
    def current(self) -> "Group":
        """Without records of earlier code, settings or data."""
        return Group(tuple(s for s in self.standings if s.state == "current"))

    def mean(self, metric: str) -> float | None:
        """Of the test metric over seeds; None without records."""
        values = [record.test[metric] for record in self.records]
        return float(np.mean(values)) if values else None

    def cell(self, metric: str, mark: str = "") -> str:
        """Mean ± standard deviation over seeds, or that it was not run; empty if it was not declared."""
        if not self.standings:
            return ""
        values = [record.test[metric] for record in self.records]
        return f"{self.spread(values)}{mark}{self.mark}" if values else NOT_RUN

    def spread(self, values: Sequence[float]) -> str:
        """Mean ± standard deviation of at least one value, each of one seed, and how many where some lack."""
        if len(values) == 1:
            return f"{values[0]:.4f}"
        declared = len(self.standings)
        of = f" ({len(values)} of {declared})" if len(values) < declared else ""
        return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}{of}"

    def stratum_size(self, kind: str, label: str) -> int:
        """Test pairs of a part; 0 without records."""
        strata = (stratum for record in self.records for stratum in record.strata)
        return next((s.num_pairs for s in strata if (s.kind, s.label) == (kind, label)), 0)

    def stratum(self, kind: str, label: str, metric: str) -> float | None:
        """Mean over seeds of a metric on a part of the test; None without."""
        values = self.stratum_of_seeds(kind, label, metric)
        return float(np.mean(values)) if values else None

    def stratum_of_seeds(self, kind: str, label: str, metric: str) -> list[float]:
        """A metric on a part of the test, of each seed that has it."""
        return [
            stratum.means[metric]
            for record in self.records
            for stratum in record.strata
            if (stratum.kind, stratum.label) == (kind, label)
        ]


def same_seeds(ours: Group, theirs: Group) -> tuple[Group, Group]:
    """Both without records of earlier code, settings or data, and without seeds that the other lacks."""
    first, second = ours.current, theirs.current
    shared = {s.run.seed for s in first.standings} & {s.run.seed for s in second.standings}
    return _of_seeds(first, shared), _of_seeds(second, shared)


def in_one_line(groups: Mapping[str, Group]) -> dict[str, Group]:
    """Groups that a line of a table shows side by side: of the seeds that all have which have any.

    What has no current record stays as it is.
    """
    seeds = [{s.run.seed for s in group.current.standings} for group in groups.values()]
    shared = set.intersection(*(found for found in seeds if found)) if any(seeds) else set[int]()
    return {
        name: _without_others(group, shared) if group.current.standings and shared else group
        for name, group in groups.items()
    }


def _without_others(group: Group, seeds: set[int]) -> Group:
    """As if other seeds, and what is of earlier code, had not been run yet."""
    kept = (s.state == "current" and s.run.seed in seeds for s in group.standings)
    pairs = zip(group.standings, kept, strict=True)
    return Group(tuple(s if is_kept else replace(s, record=None, state="due") for s, is_kept in pairs))


def _of_seeds(group: Group, seeds: set[int]) -> Group:
    return Group(tuple(s for s in group.standings if s.run.seed in seeds))


@dataclass(frozen=True)
class Study:
    """All declared runs as they stand.

    Attributes:
        standings: In the declared order.
        records: Where records lie.
    """

    standings: tuple[Standing, ...]
    records: Records

    @classmethod
    def read(cls, runs: Sequence[Run], records: Records) -> "Study":
        """Declared runs beside the records of a folder, each once; data sets are as when last run."""
        runs = list({run.name: run for run in runs}.values())
        names = dict.fromkeys(run.dataset for run in runs)
        facts = {name: records.facts(name) for name in names}
        data = {name: found.data for name, found in facts.items() if found is not None}
        return cls(tuple(standings(runs, records, data)), records)

    def group(self, dataset: str, model: str, label: str = "plain") -> Group:
        """The seeds of one model in one form."""
        wanted = (dataset, model, label)
        return Group(tuple(s for s in self.standings if (s.run.dataset, s.run.model, s.run.label) == wanted))

    def datasets(self) -> list[str]:
        """Declared data sets, in order."""
        return list(dict.fromkeys(standing.run.dataset for standing in self.standings))

    def models(self, dataset: str) -> list[str]:
        """Models declared on a data set, in order."""
        return list(dict.fromkeys(s.run.model for s in self.standings if s.run.dataset == dataset))

    def labels(self, dataset: str) -> list[str]:
        """Forms declared on a data set, ``plain`` first, then in order."""
        found = dict.fromkeys(s.run.label for s in self.standings if s.run.dataset == dataset)
        return sorted(found, key=lambda label: label != "plain")

    def paired(self, dataset: str, ours: str, theirs: str) -> Iterator[tuple[str, Group, Group]]:
        """Models with current records of both forms, of the seeds that both have: the form alone differs."""
        for model in self.models(dataset):
            first, second = same_seeds(*(self.comparable(dataset, model, label) for label in (ours, theirs)))
            if first.records and second.records:
                yield model, first, second

    def comparable(self, dataset: str, model: str, label: str) -> Group:
        """As `group`, without records of an earlier data set: their users are others."""
        facts = self.records.facts(dataset)
        group = self.group(dataset, model, label)
        kept = (s for s in group.standings if s.record and facts and s.record.data == facts.data)
        return Group(tuple(kept))

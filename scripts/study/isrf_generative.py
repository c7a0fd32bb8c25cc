"""ISRF's generative form in docs/results/isrf.md: what the records of `study.generative_records` say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from scripts.study import generative_records, generative_runs
from scripts.study.generative_records import GenerativeRecord
from scripts.study.generative_runs import GenerativeRun
from scripts.study.groups import DAGGER, NOT_RUN
from scripts.study.records import Records
from scripts.study.tables import table, title

_METRICS: Final = ("hr@5", "ndcg@5", "hr@10", "ndcg@10")
_JUDGED: Final = ("hr@10", "ndcg@10")
_LEAKS: Final[Mapping[str, tuple[str, str]]] = {
    "ids numbered along histories, P5": ("p5-sequential", "p5"),
    "ids numbered along histories, ISRF": ("isrf-sequential", "isrf"),
    "codes of texts for ids, P5": ("p5-codes", "p5"),
    "codes of texts for ids, ISRF": ("isrf-codes", "isrf"),
    "profiles of users from whole histories, ISRF": ("isrf-whole-texts", "isrf"),
}
"""What differs → the run with it, and the one without; the first two and the last read held-out items."""
_INTRODUCTION: Final = """## Generative form

A small T5 from random weights writes the names of items, by beams that spell nothing but items
(`recommender/generative`); no published checkpoint is in it. Sequential task, all users of a data set; items
of the history are dropped from the lists. Ids are shuffled numbers unless a line says otherwise. Metrics are
of lists, not of all items' ranks, so no significance is computed.
"""


@dataclass(frozen=True)
class _Seeds:
    """Records of one run.

    Attributes:
        run: The run.
        records: One per seed; none if it was not run.
        mark: A dagger if a record is of earlier code, settings or data.
    """

    run: GenerativeRun
    records: Sequence[GenerativeRecord]
    mark: str

    def mean(self, metric: str) -> float | None:
        """Over seeds; None without records."""
        return float(np.mean([record.test[metric] for record in self.records])) if self.records else None

    def cell(self, metric: str) -> str:
        """Mean ± standard deviation over seeds, or that it was not run."""
        return self._cell([record.test[metric] for record in self.records])

    def kept_cell(self, metric: str) -> str:
        """The same of lists in which items of the history stay."""
        return self._cell([record.test_kept[metric] for record in self.records])

    def _cell(self, values: Sequence[float]) -> str:
        if not values:
            return NOT_RUN
        spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
        return f"{np.mean(values):.4f}{spread}{self.mark}"


def generative(results: Path) -> Iterator[str]:
    """The section.

    Args:
        results: Folder of the documents, in which ``generative`` holds the records, and ``runs`` what is
            known of the data sets.
    """
    yield _INTRODUCTION
    found = _by_run(generative_records.read(results / "generative"), Records(results / "runs"))
    for dataset in dict.fromkeys(seeds.run.dataset for seeds in found):
        inside = [seeds for seeds in found if seeds.run.dataset == dataset]
        yield f"### {dataset}, generated\n"
        yield from _results(inside)
        yield from _leaks({seeds.run.name: seeds for seeds in inside})


def _by_run(records: Sequence[GenerativeRecord], known: Records) -> list[_Seeds]:
    """Declared runs in their order, then others that have records."""
    declared = {run.label: run for run in generative_runs.runs()}
    runs = declared | {r.run.label: r.run for r in records if r.run.label not in declared}
    return [_seeds(run, [r for r in records if r.run.label == run.label], known) for run in runs.values()]


def _seeds(run: GenerativeRun, records: Sequence[GenerativeRecord], known: Records) -> _Seeds:
    facts = known.facts(run.dataset)
    data = None if facts is None else facts.data
    current = all(generative_records.standing(record, run, data) == "current" for record in records)
    return _Seeds(run, records, "" if current else DAGGER)


def _results(found: Sequence[_Seeds]) -> Iterator[str]:
    rows: list[list[str]] = []
    for seeds in found:
        run, first = seeds.run, seeds.records[0] if seeds.records else None
        kept = seeds.kept_cell("hr@10")
        cells = (seeds.cell(metric) for metric in _METRICS)
        rows.append([f"`{run.name}`", run.why, *cells, kept, *_facts(first)])
    facts = ["HR@10, history kept", "parameters", "epochs, first seed", "CPU s/epoch", "users/CPU s"]
    yield from table(["run", "what it is there for", *map(title, _METRICS), *facts], rows)


def _facts(record: GenerativeRecord | None) -> list[str]:
    if record is None:
        return [""] * 4
    stopped = f" (stopped after {record.stopped_minutes:g} minutes)" if record.stopped_minutes else ""
    return [
        f"{record.num_parameters:,}",
        f"{record.fit.epochs}{stopped}",
        f"{record.seconds_per_epoch:.0f}",
        f"{record.users_per_second:.0f}",
    ]


def _leaks(found: Mapping[str, _Seeds]) -> Iterator[str]:
    yield "What ids and profiles are worth: with minus without.\n"
    rows: list[list[str]] = []
    for what, (with_it, without) in _LEAKS.items():
        if with_it in found and without in found:
            ours, theirs = found[with_it], found[without]
            cells = (_difference(ours.mean(m), theirs.mean(m), ours.mark or theirs.mark) for m in _JUDGED)
            rows.append([what, *cells])
    yield from table(["what differs", *map(title, _JUDGED)], rows)


def _difference(ours: float | None, theirs: float | None, mark: str) -> str:
    return NOT_RUN if ours is None or theirs is None else f"{ours - theirs:+.4f} on {theirs:.4f}{mark}"

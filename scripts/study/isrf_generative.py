"""ISRF's generative form in docs/results/isrf.md: what the records of `study.generative_records` say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from scripts.study import generative_records, generative_runs
from scripts.study.generative_records import GenerativeRecord, State
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
_PUBLISHED: Final[Mapping[str, tuple[float, float, str | None, str]]] = {
    "P5": (0.0664, 0.0429, "p5-sequential", "p5"),
    "P5 with random ids": (0.0254, 0.0136, None, "p5"),
    "POD": (0.0696, 0.0471, None, "pod"),
    "ELMRec": (0.0750, 0.0529, None, "elmrec"),
    "ISRF": (0.0800, 0.0571, "isrf-sequential", "isrf"),
}
"""Who → HR@10 and NDCG@10 of the sequential task on Beauty, and our runs with such ids and with shuffled
ones. From ISRF's table 1, but for P5's best cell over its variants (ISRF prints 0.0644), and P5 with random
ids, which is table 9 of TIGER (arXiv 2305.05065) as public notes copy it."""
_KEEP_HISTORY: Final = ("p5", "pod")
"""Systems whose published lists hold items of the history, and so do ours beside them."""
_INTRODUCTION: Final = f"""## Generative form

A small T5 from random weights writes the names of items, by beams that spell nothing but items
(`recommender/generative`); no published checkpoint is in it. Sequential task, all users of a data set; items
of the history are dropped from the lists. Ids are shuffled numbers unless a line says otherwise. Metrics are
of lists, not of all items' ranks, so no significance is computed.

No text of a user is read here: users are compared by the means of the vectors of their training items, in
`isrf-whole-texts` of all their items. The published profiles are texts that a model wrote of whole histories.
Eq. 8 is in the loss of direct batches alone: `isrf-direct` has it, all others learn without it, and all but
`isrf-no-distillation` without the direct task.

Its runs are in neither *What has been run* nor *Not run*: `python scripts/generative.py --list` shows how
they stand, `python scripts/generative.py --only 'DATA SET/RUN'` computes one, and without `--only` all that
are not current. {DAGGER} is here at what `--minutes` ended, too.
"""
_DIRECT: Final = """\
Direct task of the same models: each test user chooses from its test item and sampled negatives, the same
for all, by beams that spell nothing else. ISRF publishes HR@10 0.7673 and NDCG@10 0.5352 on Beauty, with
other negatives, free decoding and a graph that holds test pairs.
"""
_BESIDE: Final = """\
Published for the sequential task, beside ours (empty: no such run is declared; P5 and POD with items of the
history left in the lists, as they are published).
"""
_READING: Final = """\
All published rows but the second name items by integers in order of events, user after user, along whole
histories: an item that is first met after another has the next number, test items included. What that is
worth to a small T5 is the distance between our two columns, and no more is explained by them. The published
T5 is pretrained, four times as wide and three times as deep, learns explanations, too, and decodes freely;
ELMRec's and ISRF's graphs hold test pairs, and ISRF's profiles test items. What remains between a published
figure and ours with the same ids can be any of these, and its share of each is unknown.
"""
_STATES: Final[Mapping[State, str]] = {
    "current": "current",
    "stopped": f"ended by --minutes {DAGGER}",
    "earlier": f"earlier {DAGGER}",
    "due": NOT_RUN,
}


@dataclass(frozen=True)
class _Seeds:
    """Records of one run.

    Attributes:
        run: The run.
        records: One per seed; none if it was not run.
        state: The worst of theirs.
    """

    run: GenerativeRun
    records: Sequence[GenerativeRecord]
    state: State

    @property
    def mark(self) -> str:
        """A dagger if it is due again."""
        return "" if self.state in {"current", "due"} else DAGGER

    def mean(self, metric: str) -> float | None:
        """Over seeds; None without records."""
        return float(np.mean([record.test[metric] for record in self.records])) if self.records else None

    def direct_cell(self, metric: str) -> str:
        """Of the direct task, if it was measured."""
        return self._cell([record.direct[metric] for record in self.records if record.direct is not None])

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
        by_name = {seeds.run.name: seeds for seeds in inside}
        yield f"### {dataset}, generated\n"
        yield from _status(by_name)
        yield from _results(inside)
        yield from _choices(inside)
        yield from _leaks(by_name)
        if dataset == generative_runs.BEAUTY:
            yield from _published(by_name)


def _by_run(records: Sequence[GenerativeRecord], known: Records) -> list[_Seeds]:
    """Declared runs in their order, then others that have records."""
    declared = {run.label: run for run in generative_runs.runs()}
    runs = declared | {r.run.label: r.run for r in records if r.run.label not in declared}
    return [_seeds(run, [r for r in records if r.run.label == run.label], known) for run in runs.values()]


def _seeds(run: GenerativeRun, records: Sequence[GenerativeRecord], known: Records) -> _Seeds:
    facts = known.facts(run.dataset)
    data = None if facts is None else facts.data
    states = {generative_records.standing(record, run, data) for record in records} or {"due"}
    return _Seeds(run, records, next(state for state in reversed(_STATES) if state in states))


def _status(found: Mapping[str, _Seeds]) -> Iterator[str]:
    parts = generative_runs.minimum(), generative_runs.queue()
    rows: list[list[str]] = []
    for state, said in _STATES.items():
        named = [[f"`{run.name}`" for run in part if _is(found, run, state)] for part in parts]
        if any(named):
            rows.append([said, *(", ".join(names) for names in named)])
    yield from table(["runs that are", "minimum", "queue"], rows)


def _is(found: Mapping[str, _Seeds], run: GenerativeRun, state: State) -> bool:
    return run.name in found and found[run.name].run == run and found[run.name].state == state


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


def _choices(found: Sequence[_Seeds]) -> Iterator[str]:
    choosing = [seeds for seeds in found if seeds.run.chooses]
    if choosing:
        yield _DIRECT
        rows: list[list[str]] = []
        for seeds in choosing:
            negatives = f"{seeds.records[0].config['candidates'] - 1}" if seeds.records else ""
            cells = (seeds.direct_cell(metric) for metric in _METRICS)
            rows.append([f"`{seeds.run.name}`", seeds.run.why, negatives, *cells])
        yield from table(["run", "what it is there for", "negatives", *map(title, _METRICS)], rows)


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


def _published(found: Mapping[str, _Seeds]) -> Iterator[str]:
    yield _BESIDE
    rows: list[list[str]] = []
    for who, (hits, gains, leaking, shuffled) in _PUBLISHED.items():
        cells: list[str] = []
        for metric, value in zip(_JUDGED, (hits, gains), strict=True):
            ours = [_beside(found.get(name or ""), metric) for name in (leaking, shuffled)]
            cells += [f"{value:.4f}", *ours]
        rows.append([who, *cells])
    columns = ["published", "ours, ids along histories", "ours, shuffled ids"]
    yield from table(["system", *(f"{title(m)}, {column}" for m in _JUDGED for column in columns)], rows)
    yield _READING


def _beside(ours: _Seeds | None, metric: str) -> str:
    if ours is None:
        return ""
    return ours.kept_cell(metric) if ours.run.system in _KEEP_HISTORY else ours.cell(metric)

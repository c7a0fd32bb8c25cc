"""docs/results/README.md: for whoever comes new, what was found, which model to use when, and what it costs.

A row of its tables is the best of its kind by validation; the test part decides nothing. Kinds are told apart
by what a model reads. Records of earlier code, and forms whose texts saw validation events, are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from recommender.evaluation.significance import PairedTest
from scripts.study.comparisons import Comparisons, Sides
from scripts.study.core import CONTROLS, GRAPH_MODELS, SEQUENTIAL, TEXT_CONTROL
from scripts.study.datasets import DATASETS, find_dataset
from scripts.study.groups import NOT_RUN, Group, Study
from scripts.study.isrf import MODEL as ISRF
from scripts.study.lghrec import MODEL as LGHREC
from scripts.study.llmgr import BASES, OTHERS
from scripts.study.llmgr import MODEL as LLMGR
from scripts.study.recmind import MODEL as RECMIND
from scripts.study.recmind import OF_ITS_KIND
from scripts.study.records import Records
from scripts.study.runs import Run
from scripts.study.sequential import MODELS as SEQUENTIAL_MODELS
from scripts.study.tables import form_name, interval, table, title

COUNTS: Final = "interactions, counted; nothing is trained"
TEXT_ALONE: Final = "texts alone"
GRAPH: Final = "the graph of interactions"
GRAPH_TEXT: Final = "the graph, and texts of items"
HISTORY: Final = "the order of events"
HISTORY_TEXT: Final = "the order of events, and texts of items"
KINDS: Final = (COUNTS, TEXT_ALONE, GRAPH, GRAPH_TEXT, HISTORY, HISTORY_TEXT)
_OF_HISTORIES: Final = frozenset(
    {*SEQUENTIAL, *BASES, *OTHERS, LLMGR, *(model for model, _ in SEQUENTIAL_MODELS)}
)
_OF_GRAPHS: Final = frozenset({*GRAPH_MODELS, RECMIND, *OF_ITS_KIND, LGHREC, ISRF})
_SEQUENTIAL_ISRF: Final = "sequential"

_HEAD: Final = """# What was measured

Written by `make docs` from the records in this folder: do not edit it by hand.

One page for whoever comes new. Each table below has the best model of every kind, chosen by its validation
part among the runs that are there; the test part chose nothing. What reads the order of events, `counting`
among it, is asked with the validation part's events too; graphs know the training part alone, so where the
newest event tells most they start behind. The documents behind it:

* [core](core.md): graph models with and without texts, SASRec, and the controls; does text help?
* [recmind](recmind.md): text aligned with the graph and let in by gates, with its parts taken out one by one
* [lghrec](lghrec.md): semantic IDs and a contrast that a policy steers, on nine backbones
* [isrf](isrf.md): interests of users and of similar users; which of the two helps, and where
* [llmgr](llmgr.md): models of sessions, and the small model that a tuned decoder is served by
* [sequential](sequential.md): six models that published tables stand on, and what their losses cost
* [speed](speed.md): ratios against named peers, and the main path on public data, step by step
* [faults](faults.md), [growth](growth.md): what kills and sixty nights leave behind
"""
_WHEN: Final = (
    (
        "nothing to train with, or a yardstick to set",
        "`counting` for what comes next, `ease` for what else fits",
        "seconds, and hard to beat on sparse data; what has less is not worth its training",
    ),
    (
        "interactions only, 20 or more per user",
        "`simgcl`, `xsimgcl` or `mixgcf`; `lightgcn` where an epoch must be cheap",
        "the first three lead on colakg-lastfm: [core](core.md)",
    ),
    (
        "interactions only, fewer than 10 per user",
        "`ease` or `counting`",
        "on Beauty graphs without texts have less than either: [core](core.md)",
    ),
    (
        "texts of items, many rare items",
        "`recmind`",
        "on colakg-lastfm rare items gain, popular ones lose: by degree in [recmind](recmind.md)",
    ),
    (
        "texts of items, few rare items",
        "`mixgcf` or `xsimgcl` with `--fusion add`",
        "the best with texts on colakg-lastfm; what of a gain is text, shuffled ones tell: [core](core.md)",
    ),
    (
        "the order of events, with texts of items",
        "`sasrec` first, `isrf --set task=sequential` beside it",
        "on Beauty `sasrec` has more without texts than `isrf` with, in ten times the time: [isrf](isrf.md)",
    ),
    (
        "the order of events, without texts",
        "`sasrec`, which learns by the softmax over all items",
        "on Beauty it has more than `counting`, and than published figures: [core](core.md)",
    ),
    (
        "anonymous sessions",
        "`gcsan`, and `llmgr` where there are texts",
        "no language model is asked online; sessions are not measured yet: [llmgr](llmgr.md)",
    ),
)
"""What somebody has, what to begin with, and where the reason stands."""
_ADVICE: Final = """Whether texts pay is a property of a data set: measure plain, text, shuffled and random on
yours (`featurestore train --features-control`, `featurestore leaderboard`).
"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best of a kind by validation.

    Attributes:
        model: Model.
        label: Form and variant.
        group: Its current records.
    """

    model: str
    label: str
    group: Group

    @property
    def name(self) -> str:
        """As tables write it."""
        return f"`{self.model}`" if self.label == "plain" else f"`{self.model}` {form_name(self.label)}"


def render(records: Records, comparisons: Comparisons, runs: Sequence[Run]) -> str:
    """The whole document.

    Args:
        records: What was run.
        comparisons: Tests.
        runs: All that is declared by any study.
    """
    study = Study.read(runs, records)
    parts = [_HEAD, "## Which model when\n", *table(["you have", "begin with", "because"], _WHEN), _ADVICE]
    parts.append("## What was found\n")
    for dataset in DATASETS:
        parts += _dataset(study, comparisons, dataset)
    return "\n".join([*parts, *_progress(study)]).rstrip() + "\n"


def kind_of(model: str, label: str) -> str | None:
    """What a model reads; None for controls that are no choice, and for texts that saw validation events."""
    form, _, variant = label.partition("-")
    if form not in {"plain", "text", "tuned"} or model == "random":
        return None
    if model in CONTROLS:
        return COUNTS
    if model == TEXT_CONTROL:
        return TEXT_ALONE
    if model in _OF_HISTORIES or variant.startswith(_SEQUENTIAL_ISRF):
        return HISTORY if form == "plain" else HISTORY_TEXT
    if model in _OF_GRAPHS:
        return GRAPH if form == "plain" else GRAPH_TEXT
    return None


def best_of_kinds(study: Study, dataset: str) -> dict[str, Chosen]:
    """Kind → its best by the data set's second metric on validation, in the order of `KINDS`."""
    metric = find_dataset(dataset).metrics[1]
    best: dict[str, tuple[float, Chosen]] = {}
    for model in study.models(dataset):
        for label in study.labels(dataset):
            kind = kind_of(model, label)
            group = study.comparable(dataset, model, label).current
            if kind is None or not group.records:
                continue
            value = _validation(group, metric)
            if kind not in best or value > best[kind][0]:
                best[kind] = value, Chosen(model, label, group)
    return {kind: best[kind][1] for kind in KINDS if kind in best}


def _validation(group: Group, metric: str) -> float:
    values = [record.validation.get(metric, 0.0) for record in group.records]
    return sum(values) / len(values)


def _dataset(study: Study, comparisons: Comparisons, dataset: str) -> Iterator[str]:
    chosen = best_of_kinds(study, dataset)
    yield f"### {dataset}\n"
    if not chosen:
        yield f"{NOT_RUN.capitalize()}.\n"
        return
    first, second = find_dataset(dataset).metrics
    tests = _tests(comparisons, chosen, second)
    rows: list[list[str]] = []
    for kind, best in chosen.items():
        test = tests.get(kind)
        cells = [kind, best.name, best.group.cell(first), best.group.cell(second)]
        rows.append([*cells, f"{interval(test)}{test.mark}" if test else "", *_cost(best.group)])
    columns = ["it reads", "best by validation", title(first), title(second)]
    last = f"{title(second)} minus the row that trains nothing"
    yield from table([*columns, last, "minutes to train", "ms/step"], rows)
    yield from _text_gain(comparisons, dataset, chosen, second)


def _tests(comparisons: Comparisons, chosen: Mapping[str, Chosen], metric: str) -> dict[str, PairedTest]:
    """Each kind against what trains nothing."""
    if COUNTS not in chosen:
        return {}
    control = chosen[COUNTS].group.records
    sides: dict[str, Sides] = {
        kind: (best.group.records, control) for kind, best in chosen.items() if kind != COUNTS
    }
    return comparisons.family(sides, metric)


def _text_gain(
    comparisons: Comparisons, dataset: str, chosen: Mapping[str, Chosen], metric: str
) -> Iterator[str]:
    """Whether the best that reads texts has more than the best of its kind without."""
    for plain, text in ((GRAPH, GRAPH_TEXT), (HISTORY, HISTORY_TEXT)):
        if plain in chosen and text in chosen:
            ours, theirs = chosen[text], chosen[plain]
            test = comparisons.family({dataset: (ours.group.records, theirs.group.records)}, metric)[dataset]
            better = "better" if test.difference > 0 else "worse"
            verdict = f"{better} beyond chance" if test.mark else "no difference beyond chance"
            yield f"{ours.name} minus {theirs.name}: {title(metric)} {interval(test)}, {verdict}.\n"


def _cost(group: Group) -> list[str]:
    fits = [record.fit for record in group.records]
    if not fits[0].epochs:
        return ["", ""]
    return [f"{min(f.seconds for f in fits) / 60:.0f}", f"{min(f.step_milliseconds for f in fits):.0f}"]


def _progress(study: Study) -> Iterator[str]:
    """How much of what is declared stands on the present code."""
    yield "## How far the runs are\n"
    rows: list[list[str]] = []
    for dataset in study.datasets():
        states = [s.state for s in study.standings if s.run.dataset == dataset]
        rows.append([dataset, f"{states.count('current')}", f"{len(states)}"])
    yield from table(["data set", "run", "declared"], rows)
    yield "`make results` goes on with them. Times are of one thread beside other work: no benchmark."

"""docs/results/isrf.md: every figure from the records, and what has not been run by name."""

from collections.abc import Iterator, Mapping
from typing import Final

from scripts.study import isrf_questions as questions
from scripts.study import isrf_tables as tables
from scripts.study.beside import Row, Sources, data_set, verdict
from scripts.study.comparisons import Comparisons
from scripts.study.core import AMAZON
from scripts.study.datasets import find_dataset
from scripts.study.groups import DAGGER, NOT_RUN, SEEDS, Study
from scripts.study.isrf import GRAPH_ONLY, minimum, queue, row_of
from scripts.study.isrf_generative import generative
from scripts.study.rank_metrics import RankMetrics
from scripts.study.records import Records
from scripts.study.row_tables import is_more, marked, minus_each
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import table, title

_COUNTING: Final = "the counting control's"
_BARS: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {
    _COUNTING: {AMAZON[0]: (0.0829, 0.0521), AMAZON[1]: (0.0967, 0.0628)},
    "EnsRec's, the best published without a leak,": {
        AMAZON[0]: (0.0980, 0.0565),
        AMAZON[1]: (0.1061, 0.0625),
    },
}
"""Whose → data set → HR@10 and NDCG@10 that the sequential task should have; EnsRec: arXiv 2512.17820."""
_PLAIN: Final[tuple[Row, ...]] = tuple((model, "plain") for model in GRAPH_ONLY)
_HEAD: Final = f"""# ISRF

Written by `make docs` from the records in `docs/results/runs`: do not edit it by hand. `make results`
computes what is due (`python scripts/results.py --study isrf --list` shows it).

ISRF (arXiv 2603.13934) in its graph form, `recommender/models/isrf.py`: individual interests from the texts
of items (all-MiniLM-L6-v2), interests of groups from a graph of users who resemble each other. *direct* ranks
for a user, *sequential* what comes next in a history. On colakg-lastfm and agent4rec-ml1m users resemble each
other by the texts that a large model wrote of them. These hold validation events: that form knows them at the
test, and the epoch that validation chooses may be wrong. So it is shown beside the form that compares users
by their items, which knows the training part alone, and targets judge the latter. On Beauty and Toys users
are compared by the means of their training items' vectors.

Test part, all items ranked but those that the user had before. Epochs are chosen on the validation part.
`isrf` sequential, `sasrec` and `counting` are asked with the histories of train and validation; `isrf` with
users by their texts knows validation events by these; all others know the training part alone. {SEEDS}
Intervals are 95 %, paired bootstrap over users, of current records only; `*` p < 0.05, `**` p < 0.01,
Holm-corrected over a column, or a line where that is said. {DAGGER}: the record is of earlier code, settings
or data, and its run is due again.
"""
_CASES: Final = """One ISRF on colakg-lastfm, hit by hit: [which neighbours brought a hit](isrf-cases.md), by
`scripts/case_study.py` (seed 0, users compared by their items).
"""
_SETTINGS: Final = """## Settings

Models were not tuned alike. Weights and fusion of `isrf` were chosen on colakg-lastfm's validation part, its
sequential settings tried on Beauty's, where temperature and dropout of `sasrec` were chosen too; for
`lightgcn`, `ncl` and `xsimgcl` nothing was searched for. On Beauty and Toys training ends after 10 epochs
without a better validation for sequential `isrf`, after 25 for the others. The values stand in
[sequential](sequential.md#settings) and in the models' files.
"""


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    sources = Sources(study, RankMetrics(records), comparisons)
    parts = [_HEAD, *status(study, minimum()), *_targets(sources), _SETTINGS]
    parts += [*questions.group_question(sources), _CASES]
    for dataset in study.datasets():
        parts += _dataset(sources, dataset)
    parts += [*questions.measured_cost(study), *generative(records.folder.parent), *questions.not_asked()]
    return "\n".join([*parts, *not_run(study)]).rstrip() + "\n"


def _targets(sources: Sources) -> Iterator[str]:
    yield "## Targets\n"
    rows: list[list[str]] = []
    for whose, bars in _BARS.items():
        for dataset, values in bars.items():
            for metric, value in zip(("hr@10", "ndcg@10"), values, strict=True):
                target = f"{title(metric)} at least {whose} {value:.4f}"
                rows.append([dataset, "sequential", target, *_reached(sources.study, dataset, metric, value)])
                if whose == _COUNTING:
                    rows[-1][3] += _beside_counting(sources, dataset, metric)
    for dataset in sources.study.datasets():
        metric, row = tables.judged(dataset), tables.judged_row(dataset, "direct")
        target = f"{title(metric)} of {tables.name(row)}, above LightGCN, NCL and XSimGCL, beyond chance"
        rows.append([dataset, "direct", target, *_above(sources, dataset)])
    target = f"a step in ≤ {questions.MOST_TIMES:g} times LightGCN's, by the benchmark"
    rows.append([AMAZON[0], "direct", target, *questions.step_target(sources.study.records)])
    yield from table(["data set", "task", "target", "ours", ""], rows)


def _reached(study: Study, dataset: str, metric: str, value: float) -> tuple[str, str]:
    group = study.group(dataset, *row_of(dataset, "sequential"))
    mean = group.current.mean(metric)
    if mean is None:
        return NOT_RUN, NOT_RUN
    values = [record.test[metric] for record in group.current.records]
    return group.spread(values), verdict(is_reached=mean >= value)


def _beside_counting(sources: Sources, dataset: str, metric: str) -> str:
    """The difference to the control over the same users, where both were run."""
    own = row_of(dataset, "sequential")
    tests = minus_each(sources, dataset, own, [("counting", "plain")], metric)
    return "".join(f"; minus `counting` {marked(test)}" for test in tests.values())


def _above(sources: Sources, dataset: str) -> tuple[str, str]:
    tests = tables.main_tests(sources, dataset, "direct")
    found = [tests[row] for row in _PLAIN if row in tests]
    above = sum(map(is_more, found))
    state = verdict(is_reached=above == len(_PLAIN)) if len(found) == len(_PLAIN) else NOT_RUN
    own = sources.study.group(dataset, *tables.judged_row(dataset, "direct"))
    seeds = f"{len(own.current.records)} of {len(own.standings)} seeds" if own.standings else ""
    return f"above {above} of {len(found)} that were run, {seeds}", state


def _dataset(sources: Sources, dataset: str) -> Iterator[str]:
    head, is_run = data_set(sources.study, dataset, find_dataset(dataset).texts)
    yield from head
    if not is_run:
        return
    yield "### All items ranked\n"
    yield from tables.full_ranking(sources, dataset)
    yield from tables.sampled(sources, dataset)
    yield from tables.strata(sources.study, dataset)
    for task in tables.tasks_of(sources.study, dataset):
        yield from tables.parts(sources, dataset, task)
    yield from tables.curves(sources.study, dataset)
    yield from tables.cost(sources.study, dataset)

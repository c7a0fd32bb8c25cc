"""Tables of docs/results/isrf.md: ISRF's rows beside others, its parts, its learning, its cost."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from scripts.study.beside import Row, Sources
from scripts.study.core import AMAZON
from scripts.study.datasets import find_dataset
from scripts.study.groups import Group, Study
from scripts.study.isrf import (
    ABLATIONS,
    BESIDE_IT,
    MODEL,
    NO_GROUP,
    SWEEPS,
    TASKS,
    Task,
    by_items,
    row_of,
)
from scripts.study.row_tables import Tests, minus_each, row_table, written
from scripts.study.sampled_ranks import SampledRanks
from scripts.study.tables import ITEM_PARTS, curve_table, table, title

PAPER: Final = ("hr@5", "ndcg@5", "hr@10", "ndcg@10")
"""What the paper shows of users with one test item."""
PUBLISHED: Final[Mapping[str, Mapping[Row, tuple[float, float]]]] = {
    AMAZON[0]: {
        row_of(AMAZON[0], "direct"): (0.7673, 0.5352),
        ("lightgcn", "plain"): (0.5383, 0.3451),
        ("ncl", "plain"): (0.5542, 0.3607),
        ("xsimgcl", "plain"): (0.4392, 0.3012),
    },
    AMAZON[1]: {
        row_of(AMAZON[1], "direct"): (0.6733, 0.4857),
        ("lightgcn", "plain"): (0.5106, 0.3272),
        ("ncl", "plain"): (0.5120, 0.3325),
        ("xsimgcl", "plain"): (0.4186, 0.2885),
    },
}
"""Data set → row → HR@10 and NDCG@10 among 99 negatives, from table 2 of ISRF's paper."""
_CAVEAT: Final = """Published: table 2 of ISRF's paper, the same files and split, one drawn list per user. The
graph of ISRF's published code comes from a random split of reviews, which holds pairs of the test part, and
its texts of users hold test items; whether LightGCN, NCL and XSimGCL learned from the same graph is not
stated. No graph here holds a test pair.
"""


def judged(dataset: str) -> str:
    """The metric of all tests on a data set."""
    return find_dataset(dataset).metrics[1]


def shown(dataset: str) -> tuple[str, ...]:
    """The metrics of its tables."""
    declared = find_dataset(dataset)
    return PAPER if declared.cutoff == 10 else declared.metrics


def tasks_of(study: Study, dataset: str) -> list[Task]:
    """Tasks that are declared on a data set."""
    return [task for task in TASKS if study.group(dataset, *row_of(dataset, task)).standings]


def judged_row(dataset: str, task: Task) -> Row:
    """ISRF as targets judge it: users compared by their items, so that it knows no validation event.

    Texts of users hold such events: what compares users by these knows them at the test, which models that
    learn from the training part alone do not.
    """
    return by_items(dataset, task) or row_of(dataset, task)


def main_tests(sources: Sources, dataset: str, task: Task) -> Tests:
    """ISRF as it is judged minus what it stands beside in the first table of a data set."""
    rows = _main_rows(sources.study, dataset)
    return minus_each(sources, dataset, judged_row(dataset, task), rows, judged(dataset))


def full_ranking(sources: Sources, dataset: str) -> Iterator[str]:
    """All items ranked; one last column for each task."""
    metric = judged(dataset)
    tests = {
        f"{title(metric)}: {name(judged_row(dataset, task))}, minus it": main_tests(sources, dataset, task)
        for task in tasks_of(sources.study, dataset)
    }
    cells = {title(metric): _mean(metric) for metric in shown(dataset)}
    last = {head: written(found) for head, found in tests.items()}
    yield from _table(sources.study, dataset, _main_rows(sources.study, dataset), cells, last)


def sampled(sources: Sources, dataset: str) -> Iterator[str]:
    """The same rows among 99 negatives; nothing where users have several test items."""
    ranks = SampledRanks(sources.study.records)
    if ranks.pool_sizes(dataset) is None:
        return
    yield "### Among 99 sampled negatives\n"
    yield "The expected value over all draws, computed from the ranks above.\n"
    cells = {title(metric): _sampled(ranks, metric) for metric in PAPER}
    found = PUBLISHED.get(dataset, {})
    last = {
        f"{title(metric)}, published": {row: f"{values[n]:.4f}" for row, values in found.items()}
        for n, metric in enumerate(("hr@10", "ndcg@10"))
        if found
    }
    yield from _table(sources.study, dataset, _main_rows(sources.study, dataset), cells, last)
    if found:
        yield _CAVEAT


def parts(sources: Sources, dataset: str, task: Task) -> Iterator[str]:
    """ISRF with a part taken out, and with other settings; nothing where none is declared."""
    rows = [row_of(dataset, task, variant) for variant in (*ABLATIONS, *SWEEPS)]
    word = row_of(dataset, task)[1].partition("-")[2]
    rows += [(MODEL, f"{form}-{word}" if word else form) for form in ("shuffled", "random")]
    rows = [row for row in rows if sources.study.group(dataset, *row).standings]
    if rows:
        yield f"### {task.capitalize()}: parts taken out, and other settings\n"
        own = row_of(dataset, task)
        cells = {title(metric): _mean(metric) for metric in shown(dataset)[-2:]}
        head = f"{title(judged(dataset))}: ISRF minus it"
        tests = minus_each(sources, dataset, own, rows, judged(dataset))
        yield from _table(sources.study, dataset, [own, *rows], cells, {head: written(tests)})


def strata(study: Study, dataset: str) -> Iterator[str]:
    """By training degree of the test item, and of the user."""
    metric = judged(dataset)
    rows: list[list[str]] = []
    columns = [(f"{side} degree", part) for side in ("item", "user") for part in ITEM_PARTS]
    own = [
        row
        for task in tasks_of(study, dataset)
        for row in (*_own_rows(dataset, task), row_of(dataset, task, NO_GROUP))
    ]
    for row in (*own, *BESIDE_IT):
        group = study.group(dataset, *row).current
        found = [group.stratum(kind, part, metric) for kind, part in columns]
        if group.records:
            rows.append([name(row), *("" if value is None else f"{value:.4f}" for value in found)])
    used = [n for n in range(1, len(columns) + 1) if any(row[n] for row in rows)]
    heads = [f"{kind.split()[0]}s {part}" for kind, part in columns]
    if rows:
        yield f"### {title(metric)} by training degree\n"
    yield from table(
        ["model", *(heads[n - 1] for n in used)], [[row[0], *(row[n] for n in used)] for row in rows]
    )


def curves(study: Study, dataset: str) -> Iterator[str]:
    """How ISRF learned in each task that was run, seed 0."""
    for task in tasks_of(study, dataset):
        model, label = row_of(dataset, task)
        if study.group(dataset, model, label).records:
            yield f"### {task.capitalize()}: learning curve\n"
            yield from curve_table(study, dataset, model, label)


def cost(study: Study, dataset: str) -> Iterator[str]:
    """Of training, on a machine that other runs shared: each of its fastest seed."""
    rows: list[list[str]] = []
    for row in _main_rows(study, dataset):
        fits = [record.fit for record in study.group(dataset, *row).current.records if record.fit.epochs]
        if fits:
            fit = min(fits, key=lambda each: each.step_milliseconds)
            rows.append(
                [
                    name(row),
                    f"{fit.step_milliseconds:.1f}",
                    f"{fit.seconds / fit.epochs:.2f}",
                    f"{fit.epochs}",
                    f"{fit.best_epoch}",
                ]
            )
    if rows:
        yield "### Cost\n"
        yield "Of the fastest seed, one thread beside other work: no benchmark, and no ratio of two rows.\n"
    yield from table(["model", "ms/step, median", "s/epoch with validation", "epochs", "best epoch"], rows)


def name(row: Row) -> str:
    """A row as tables write it."""
    model, label = row
    form, _, variant = label.partition("-")
    if model != MODEL:
        return f"`{model}`{' + text' if form == 'text' else ''}"
    task = "sequential" if variant.startswith("sequential") else "direct"
    variant = variant.removeprefix("sequential").removeprefix("-").replace("-", " ")
    if form in {"shuffled", "random"}:
        return f"{task}, {form} vectors"
    return f"{task}, {variant}" if variant else f"`{MODEL}`, {task}{_compared(form)}"


def _compared(form: str) -> str:
    return ", users by their texts" if form == "both" else ""


def _main_rows(study: Study, dataset: str) -> list[Row]:
    """ISRF in each task, then what it stands beside, where that is declared."""
    own = [row for task in TASKS for row in _own_rows(dataset, task)]
    return [row for row in (*own, *BESIDE_IT) if study.group(dataset, *row).standings]


def _own_rows(dataset: str, task: Task) -> list[Row]:
    """ISRF with users compared by their texts where they have any, and by their items."""
    return list(dict.fromkeys((row_of(dataset, task), judged_row(dataset, task))))


def _table(
    study: Study,
    dataset: str,
    rows: Sequence[Row],
    cells: Mapping[str, Callable[[Group], str]],
    last: Mapping[str, Mapping[Row, str]],
) -> Iterator[str]:
    yield from row_table(study, dataset, rows, name=name, cells=cells, last=last)


def _mean(metric: str) -> Callable[[Group], str]:
    return lambda group: group.cell(metric)


def _sampled(ranks: SampledRanks, metric: str) -> Callable[[Group], str]:
    return lambda group: ranks.cell(group, metric)

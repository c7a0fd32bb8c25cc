"""What ISRF's paper claims, asked of the records: do groups help, what does it cost, what was left out."""

from collections.abc import Iterator
from typing import Final

from scripts.study.benchmark_claims import benchmark_claims
from scripts.study.beside import Row, Sources, verdict
from scripts.study.groups import NOT_RUN, Study
from scripts.study.isrf import LITERAL, NO_GROUP, TEXT_SETS, Task, by_items, row_of
from scripts.study.isrf_tables import judged, judged_row, tasks_of
from scripts.study.row_tables import Tests, marked, minus_each
from scripts.study.same_seeds import epoch_ratio
from scripts.study.tables import table, title

BENCHMARK: Final = "isrf_step"
"""Of ``benchmarks/isrf_step.py``: time and memory beside LightGCN, in alternating pairs."""
MOST_TIMES: Final = 1.5
_NO_GRAPH: Final = "no graph"
_RANDOM: Final = "a random graph"
_INTERACTIONS: Final = "a graph of interactions"
_COLUMNS: Final = {
    _NO_GRAPH: NO_GROUP,
    _RANDOM: "random-graph",
    _INTERACTIONS: "interactions-graph",
    "no group in scores": LITERAL,
}
_BY_ITEMS: Final = "users compared by their items"


def group_question(sources: Sources) -> Iterator[str]:
    """ISRF against itself with every other graph of users, on all data sets and tasks."""
    yield "## Do interests of groups help?\n"
    yield (
        "The same model, whose users resemble others by texts, minus the model with another graph of users "
        "or none: what remains is what knowing one's like is worth. Holm-corrected over a line. On "
        f"{' and '.join(TEXT_SETS)} texts of users hold validation events, which other graphs do not know.\n"
    )
    rows: list[list[str]] = []
    for dataset in sources.study.datasets():
        for task in tasks_of(sources.study, dataset):
            tests = graph_tests(sources, dataset, task)
            columns = _rows(sources.study, dataset, task)
            cells = [_cell(tests, columns.get(column)) for column in (*_COLUMNS, _BY_ITEMS)]
            answer = answered(_decided(tests, columns))
            rows.append([dataset, task, title(judged(dataset)), *cells, answer])
    heads = [f"minus {column}" for column in (*_COLUMNS, _BY_ITEMS)]
    yield from table(["data set", "task", "metric", *heads, "answer"], rows)


def graph_tests(sources: Sources, dataset: str, task: Task) -> Tests:
    """One family: ISRF minus ISRF with each other graph that was run."""
    others = list(_rows(sources.study, dataset, task).values())
    return minus_each(sources, dataset, row_of(dataset, task), others, judged(dataset))


def answered(decided: dict[str, int]) -> str:
    """Whether groups help, in words chosen by tests.

    Args:
        decided: Graph → 1 if ISRF is better beyond chance, -1 if it is worse, else 0.
    """
    if not {_NO_GRAPH, _RANDOM} <= decided.keys():
        return NOT_RUN
    if decided[_NO_GRAPH] < 0:
        return "**no**: it is better without a graph"
    if decided[_NO_GRAPH] == 0:
        return "**no**: nothing beyond chance over no graph"
    if decided[_RANDOM] <= 0:
        return "**not by likeness**: random neighbours do as well"
    if decided.get(_INTERACTIONS, 0) < 0:
        return "**yes**, but users are better compared by what they had"
    return "**yes**: more than without a graph, and than with a random one"


def time_ratio(study: Study, dataset: str) -> tuple[str, str]:
    """The direct task's time per epoch as a multiple of LightGCN's, see `epoch_ratio`."""
    return epoch_ratio(study, dataset, judged_row(dataset, "direct"), ("lightgcn", "plain"), MOST_TIMES)


def measured_cost(study: Study) -> Iterator[str]:
    """Time and memory beside LightGCN as the benchmark recorded them."""
    yield "## Time and memory beside LightGCN\n"
    claims = benchmark_claims(study.records, BENCHMARK)
    if not claims:
        yield f"`benchmarks/{BENCHMARK}.py`: {NOT_RUN}.\n"
        return
    yield f"`benchmarks/{BENCHMARK}.py`, direct task on amazon14-beauty, alternating pairs.\n"
    rows: list[list[str]] = []
    for claim in claims:
        times = claim["ours"] / claim["theirs"]
        figures = (f"{claim['ours']:,.4g}", f"{claim['theirs']:,.4g}", claim["unit"], f"{times:.2f}")
        rows.append([claim["name"], *figures, verdict(is_reached=times <= MOST_TIMES)])
    columns = ["what", "ISRF", "LightGCN", "unit", "times", f"≤ {MOST_TIMES:g}"]
    yield from table(columns, rows)


def not_asked() -> Iterator[str]:
    """Questions that no run here can answer, and why."""
    yield "## Not asked\n"
    yield (
        "Variants with the forward or the backward text alone, of users or of items (uPos, uNeg, vPos, "
        f"vNeg): {NOT_RUN}. They need all three texts of all users and items. The data sets with texts of "
        "large models have one text of each, and Beauty and Toys have titles only.\n"
    )


def _rows(study: Study, dataset: str, task: Task) -> dict[str, Row]:
    """Column → what it compares with, where that is declared."""
    rows = {column: row_of(dataset, task, variant) for column, variant in _COLUMNS.items()}
    items = by_items(dataset, task)
    found = rows | ({_BY_ITEMS: items} if items else {})
    return {column: row for column, row in found.items() if study.group(dataset, *row).standings}


def _cell(tests: Tests, row: Row | None) -> str:
    if row is None:
        return ""
    return marked(tests[row]) if row in tests else NOT_RUN


def _decided(tests: Tests, columns: dict[str, Row]) -> dict[str, int]:
    found = {column: tests[row] for column, row in columns.items() if row in tests}
    return {
        column: 0 if not test.mark else 1 if test.difference > 0 else -1 for column, test in found.items()
    }

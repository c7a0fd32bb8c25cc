"""What ISRF's paper claims, asked of the records: do groups help, what does it cost, what was left out."""

from collections.abc import Iterator
from typing import Final

from scripts.study.benchmark_claims import benchmark_claims
from scripts.study.beside import Row, Sources, verdict
from scripts.study.groups import NOT_RUN, Study
from scripts.study.isrf import LITERAL, NO_GROUP, TEXT_SETS, Task, by_items, row_of
from scripts.study.isrf_tables import judged, tasks_of
from scripts.study.records import Records
from scripts.study.row_tables import Tests, marked, minus_each
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
_GRAPHS: Final = (_NO_GRAPH, _RANDOM, _INTERACTIONS)
_BY_ITEMS: Final = "users compared by their items"


def group_question(sources: Sources) -> Iterator[str]:
    """ISRF against itself with every other graph of users, on all data sets and tasks."""
    yield "## Do interests of groups help?\n"
    yield (
        "The same model, whose users resemble others by texts, minus the model with another graph of users "
        "or none: what remains is what knowing one's like is worth. Holm-corrected over a line. On "
        f"{' and '.join(TEXT_SETS)} texts of users hold validation events, which other graphs do not know: "
        f"what such a line gains may be that knowledge. The line *{_BY_ITEMS}* has no such events.\n"
    )
    rows: list[list[str]] = []
    for dataset in sources.study.datasets():
        for task in tasks_of(sources.study, dataset):
            ours = {task: row_of(dataset, task)}
            if items := by_items(dataset, task):
                ours[f"{task}, {_BY_ITEMS}"] = items
            rows += [
                [dataset, name, title(judged(dataset)), *_line(sources, dataset, task, row)]
                for name, row in ours.items()
            ]
    heads = [f"minus {column}" for column in (*_COLUMNS, _BY_ITEMS)]
    yield from table(["data set", "task", "metric", *heads, "answer"], rows)


def _line(sources: Sources, dataset: str, task: Task, ours: Row) -> list[str]:
    """One family: ISRF minus ISRF with each other graph that was run, and the answer."""
    columns = _rows(sources.study, dataset, task)
    if ours == by_items(dataset, task):
        columns = {column: row for column, row in columns.items() if column in _GRAPHS}
    tests = minus_each(sources, dataset, ours, list(columns.values()), judged(dataset))
    cells = [_cell(tests, columns.get(column)) for column in (*_COLUMNS, _BY_ITEMS)]
    return [*cells, answered(_decided(tests, columns))]


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


def step_target(records: Records) -> tuple[str, str]:
    """A step and the memory of the direct task as multiples of LightGCN's, by the benchmark."""
    times = {claim["name"]: claim["ours"] / claim["theirs"] for claim in benchmark_claims(records, BENCHMARK)}
    if not times:
        return NOT_RUN, NOT_RUN
    said = ", ".join(f"{name} {value:.2f}" for name, value in times.items())
    return said, verdict(is_reached=max(times.values()) <= MOST_TIMES)


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

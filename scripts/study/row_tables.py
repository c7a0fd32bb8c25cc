"""Rows of models side by side: their metrics, then columns of text such as tests against one of them.

Cells show what was run, with a mark where it is of earlier code, settings or data; tests read current records
only, so a row that has a mark may have no test.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from recommender.evaluation.significance import PairedTest
from scripts.study.beside import Row, Sources
from scripts.study.comparisons import Sides
from scripts.study.groups import Group, Study
from scripts.study.item_parts import ItemPart
from scripts.study.tables import interval, table

Tests: TypeAlias = Mapping[Row, PairedTest]


def minus_each(
    sources: Sources,
    dataset: str,
    ours: Row,
    others: Sequence[Row],
    metric: str,
    *,
    part: ItemPart | None = None,
) -> Tests:
    """Ours minus each of the others, Holm-corrected over all that were run; of a part of the items or all."""
    own = _current(sources, dataset, ours)
    found = {row: _current(sources, dataset, row) for row in others if row != ours}
    return _family(sources, {row: (own, theirs) for row, theirs in found.items()}, metric, part)


def minus_one(sources: Sources, dataset: str, rows: Sequence[Row], theirs: Row, metric: str) -> Tests:
    """Each of some rows minus one, Holm-corrected over all that were run."""
    other = _current(sources, dataset, theirs)
    found = {row: _current(sources, dataset, row) for row in rows if row != theirs}
    return _family(sources, {row: (ours, other) for row, ours in found.items()}, metric)


def row_table(
    study: Study,
    dataset: str,
    rows: Sequence[Row],
    *,
    name: Callable[[Row], str],
    cells: Mapping[str, Callable[[Group], str]],
    last: Mapping[str, Mapping[Row, str]],
) -> Iterator[str]:
    """A line per row that is declared on a data set.

    Args:
        study: Declared runs and their records.
        dataset: Which.
        rows: In their order.
        name: Row → how it is written.
        cells: Column → what it says of a row's seeds.
        last: Column after these → row → what it says of it; nothing of rows that it lacks.
    """
    lines: list[list[str]] = []
    for row in rows:
        group = study.group(dataset, *row)
        if group.standings:
            texts = (found.get(row, "") for found in last.values())
            lines.append([name(row), *(cell(group) for cell in cells.values()), *texts])
    yield from table(["model", *cells, *last], lines)


def marked(test: PairedTest) -> str:
    """A difference with its interval, and a mark where it is beyond chance."""
    return f"{interval(test)}{test.mark}"


def written(tests: Tests) -> dict[Row, str]:
    """Tests as a column of `row_table`."""
    return {row: marked(test) for row, test in tests.items()}


def is_more(test: PairedTest) -> bool:
    """Whether ours has more, beyond chance."""
    return test.difference > 0 and bool(test.mark)


def is_less(test: PairedTest) -> bool:
    """Whether ours has less, beyond chance."""
    return test.difference < 0 and bool(test.mark)


def _current(sources: Sources, dataset: str, row: Row) -> Group:
    return sources.study.group(dataset, *row).current


def _family(
    sources: Sources,
    groups: Mapping[Row, tuple[Group, Group]],
    metric: str,
    part: ItemPart | None = None,
) -> Tests:
    sides: dict[str, Sides] = {
        " ".join(row): (ours.records, theirs.records)
        for row, (ours, theirs) in groups.items()
        if ours.records and theirs.records
    }
    tests = sources.comparisons.family(sides, metric, part)
    return {row: tests[" ".join(row)] for row in groups if " ".join(row) in tests}

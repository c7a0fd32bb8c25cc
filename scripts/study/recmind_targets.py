"""What RecMind has to reach, judged by current records alone."""

from collections.abc import Iterator
from math import inf
from typing import Final

from scripts.study import core
from scripts.study.beside import Row, Sources, verdict
from scripts.study.groups import NOT_RUN, Group, Study
from scripts.study.item_parts import ItemPart
from scripts.study.recmind import (
    MODEL,
    OF_ITS_KIND,
    STRONGER,
    TEXT_SETS,
    VARIANTS,
    WITHOUT_ALIGNMENT,
    minimum,
    queue,
)
from scripts.study.recmind_cost import MOST_TIMES, step_target
from scripts.study.records import Records
from scripts.study.row_tables import Tests, is_more, marked, minus_each
from scripts.study.runs import Run
from scripts.study.same_seeds import rows_of_same_seeds
from scripts.study.tables import table, title

OURS: Final[Row] = (MODEL, "text")
BASE: Final[Row] = ("lightgcn", "plain")
JUDGED: Final = ("recall@40", "ndcg@20")
RARE: Final = ItemPart(most=3)
CONTROLS: Final[tuple[Row, ...]] = (
    (MODEL, "shuffled"),
    (MODEL, "random"),
    *((MODEL, f"text-{variant}") for variant in (*VARIANTS, *STRONGER)),
)
_GAIN: Final = 0.04
_MOST_NAMED: Final = 3


def targets(sources: Sources) -> Iterator[str]:
    """A line per data set and target."""
    yield "## Targets\n"
    yield (
        f"*No model is better* asks every graph model of [core](core.md) and every model of RecMind's kind, "
        f"with texts of items and without, in {' and '.join(map(title, JUDGED))}; Holm-corrected over all of "
        "these in one metric. At most three are named, those with most.\n"
    )
    wide = Sources(_with_rivals(sources.study.records), sources.metrics, sources.comparisons)
    rows: list[list[str]] = []
    for dataset in TEXT_SETS:
        found = {
            "no model is better beyond chance": _best(wide, dataset),
            f"{title(JUDGED[0])} ≥ 4 % over LightGCN": _gain(sources, dataset),
            f"more than that for items of degree ≤ {RARE.most}, beyond chance": _rare(sources, dataset),
            "removing the alignment costs, beyond chance": _cost(sources, dataset),
            f"a step in ≤ {MOST_TIMES:g} times LightGCN's, by the benchmark": step_target(
                sources.study.records, dataset
            ),
        }
        rows += [[dataset, target, *cells] for target, cells in found.items()]
    yield from table(["data set", "target", "ours", ""], rows)


def rivals(dataset: str) -> list[Row]:
    """What could be better on a data set, where it is declared by this study or by the core one."""
    return list(dict.fromkeys((r.model, r.label) for r in _rival_runs() if r.dataset == dataset))


def control_tests(sources: Sources, dataset: str, metric: str) -> Tests:
    """RecMind minus itself with one part taken out: the family of a table, and of the target."""
    return minus_each(sources, dataset, OURS, CONTROLS, metric)


def name(row: Row) -> str:
    """A row as tables write it."""
    model, label = row
    form, _, variant = label.partition("-")
    if model == MODEL:
        words = {"text": f"`{MODEL}`", "both": f"`{MODEL}`, texts of users too"}
        return variant.replace("-", " ") or words.get(form, f"{form} vectors")
    return f"`{model}`{' + text' if form == 'text' and model not in OF_ITS_KIND else ''}"


def _rival_runs() -> list[Run]:
    runs = (*core.minimum(), *core.queue(), *minimum(), *queue())
    wanted = {*core.GRAPH_MODELS, *OF_ITS_KIND}
    return [r for r in runs if r.model in wanted and r.label in {"plain", "text"} and r.dataset in TEXT_SETS]


def _with_rivals(records: Records) -> Study:
    ours = [run for run in minimum() if (run.model, run.label) == OURS]
    return Study.read([*ours, *_rival_runs()], records)


def _best(sources: Sources, dataset: str) -> tuple[str, str]:
    others = rivals(dataset)
    tests = {metric: minus_each(sources, dataset, OURS, others, metric) for metric in JUDGED}
    count = len(tests[JUDGED[0]])
    compared = f"{count} of {len(others)} compared"
    if not count:
        return compared, NOT_RUN
    better = {metric: _better(found) for metric, found in tests.items()}
    said = "; ".join(f"{title(metric)}: {_said(rows, tests[metric])}" for metric, rows in better.items())
    is_best = not any(better.values())
    state = NOT_RUN if is_best and count < len(others) else verdict(is_reached=is_best)
    return f"{said} ({compared})", state


def _better(tests: Tests) -> list[Row]:
    """Rows that have more than RecMind beyond chance, those with most first."""
    found = [row for row, test in tests.items() if test.difference < 0 and test.mark]
    return sorted(found, key=lambda row: tests[row].difference)


def _said(better: list[Row], tests: Tests) -> str:
    if not better:
        return "none is better"
    named = ", ".join(f"{name(row)} by {-tests[row].difference:.4f}" for row in better[:_MOST_NAMED])
    rest = len(better) - _MOST_NAMED
    return f"better: {named}{f' and {rest} more' if rest > 0 else ''}"


def _sides(sources: Sources, dataset: str) -> tuple[Group, Group]:
    return rows_of_same_seeds(sources.study, dataset, OURS, BASE)


def _relative(sources: Sources, dataset: str) -> float | None:
    """What RecMind gains over LightGCN, as a share of it; None if one was not run."""
    ours, theirs = (sources.metrics.mean(group, JUDGED[0]) for group in _sides(sources, dataset))
    return None if ours is None or not theirs else ours / theirs - 1


def _gain(sources: Sources, dataset: str) -> tuple[str, str]:
    gain = _relative(sources, dataset)
    return (NOT_RUN, NOT_RUN) if gain is None else (f"{gain:+.1%}", verdict(is_reached=gain >= _GAIN))


def _rare(sources: Sources, dataset: str) -> tuple[str, str]:
    """The gain on rare items: larger than on all, and no chance."""
    overall, groups = _relative(sources, dataset), _sides(sources, dataset)
    ours, theirs = (sources.metrics.item_part(group, RARE.inside, JUDGED[0]) for group in groups)
    if overall is None or ours is None or theirs is None:
        return NOT_RUN, NOT_RUN
    gain = ours / theirs - 1 if theirs else inf if ours else 0.0
    sides = {dataset: (groups[0].records, groups[1].records)}
    test = sources.comparisons.family(sides, JUDGED[0], RARE)[dataset]
    pairs = int(RARE.inside(sources.study.records.pairs(dataset).item_degrees).sum())
    said = f"{gain:+.1%} ({theirs:.4f} to {ours:.4f}), {marked(test)}, p {test.p_value:.2g}, {pairs:,} pairs"
    return said, verdict(is_reached=gain > overall and is_more(test))


def _cost(sources: Sources, dataset: str) -> tuple[str, str]:
    test = control_tests(sources, dataset, JUDGED[0]).get((MODEL, f"text-{WITHOUT_ALIGNMENT}"))
    if test is None:
        return NOT_RUN, NOT_RUN
    return marked(test), verdict(is_reached=is_more(test))

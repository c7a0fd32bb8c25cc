"""docs/results/lghrec.md: every figure from the records, and what has not been run by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from recommender.evaluation.significance import PairedTest
from scripts.study.beside import Row, Sources, data_set
from scripts.study.comparisons import Comparisons
from scripts.study.datasets import find_dataset
from scripts.study.groups import DAGGER, NOT_RUN, SEEDS, Group, Study, in_one_line
from scripts.study.item_parts import ItemPart
from scripts.study.lghrec import (
    BACKBONES,
    LASTFM,
    MODEL,
    OTHERS,
    minimum,
    queue,
)
from scripts.study.lghrec_cost import measured_cost
from scripts.study.lghrec_policy import learned
from scripts.study.lghrec_reading import beside_controls, parts_give, words_of
from scripts.study.lghrec_reasons import reasons
from scripts.study.lghrec_targets import CONTROL_ROWS, FORMS, JUDGED, OURS, RARE, gains, rows_of, targets
from scripts.study.lghrec_variants import SETTING_ROWS, best_variant, policy_gives, weights
from scripts.study.neighbour_tables import near_items
from scripts.study.rank_metrics import RankMetrics
from scripts.study.records import Records
from scripts.study.row_tables import minus_each, row_table, written
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import table, title

METRICS: Final = ("recall@20", JUDGED)
_PARTS: Final[Mapping[str, ItemPart]] = {"< 10": RARE, "10-49": ItemPart(10, 49), "≥ 50": ItemPart(50)}
_TAIL: Final = f"items of degree < {RARE.most + 1}"
_HEAD: Final = f"""# LGHRec

Written by `make docs` from the records in `docs/results/runs`: do not edit it by hand. `make results`
computes what is due (`python scripts/results.py --study lghrec --list` shows it).

LGHRec (arXiv 2505.12396) as `recommender/models/lghrec.py` reconstructs it, over nine backbones. A semantic
ID here is the vector of an item's text (all-MiniLM-L6-v2) joined by fusion=concat; HGPO chooses negatives
and temperatures of a contrast that is added to the backbone's own loss.

Test part, all items ranked but those that the user had before. Epochs are chosen on the validation part.
{SEEDS}
Forms of one backbone stand in one line by the seeds that all of them have.
`*` p < 0.05, `**` p < 0.01, paired bootstrap over users, Holm-corrected: tests against backbones over all
forms of all backbones of a data set, others over their table; targets and reasons cite these. On a part of
the items users are drawn with all that they have in it. {DAGGER}: the record is of earlier code, settings or
data, and its run is due again; tests, parts and times are of current records only.
"""


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    sources = Sources(study, RankMetrics(records), comparisons)
    parts = [_HEAD, *status(study, minimum()), *targets(sources), *reasons(sources)]
    for dataset in study.datasets():
        parts += _dataset(sources, dataset)
    parts += [*near_items(study), *measured_cost(records)]
    return "\n".join([*parts, *not_run(study)]).rstrip() + "\n"


def _dataset(sources: Sources, dataset: str) -> Iterator[str]:
    head, is_run = data_set(sources.study, dataset, find_dataset(dataset).texts)
    yield from head
    if not is_run:
        return
    tests = gains(sources, dataset)
    for metric in METRICS:
        cell = _cell(sources, metric)
        yield from _backbones(sources, dataset, title(metric), cell, tests if metric == JUDGED else {})
    tail = f"{title(JUDGED)}, {_TAIL}"
    yield from _backbones(
        sources, dataset, tail, lambda group: _rare(sources, group) or NOT_RUN, gains(sources, dataset, RARE)
    )
    yield from parts_give(sources, dataset)
    yield from _strata(sources, dataset)
    if dataset == LASTFM:
        yield "### On LightGCN: what HGPO is measured against\n"
        yield from _beside(sources, dataset, CONTROL_ROWS)
        yield from beside_controls(sources)
        yield from policy_gives(sources, dataset)
        yield "### On LightGCN: other settings\n"
        yield from _beside(sources, dataset, SETTING_ROWS)
        yield from best_variant(sources, dataset)
        yield from weights(sources, dataset)
    yield from learned(sources.study, dataset)
    yield "### Beside other models that read texts\n"
    yield from _beside(sources, dataset, [(model, "text") for model in OTHERS])


def _beside(sources: Sources, dataset: str, others: Sequence[Row]) -> Iterator[str]:
    """LGHRec on LightGCN, then others."""
    cells = {title(metric): _cell(sources, metric) for metric in METRICS}
    cells[f"{title(JUDGED)}, {_TAIL}"] = lambda group: _rare(sources, group)
    last = {
        f"{title(JUDGED)}: LGHRec minus it": written(minus_each(sources, dataset, OURS, others, JUDGED)),
        f"{_TAIL}: LGHRec minus it": written(minus_each(sources, dataset, OURS, others, JUDGED, part=RARE)),
    }
    yield from row_table(sources.study, dataset, [OURS, *others], name=_name, cells=cells, last=last)


def _cell(sources: Sources, metric: str) -> Callable[[Group], str]:
    return lambda group: sources.metrics.cell(group, metric)


def _rare(sources: Sources, group: Group) -> str:
    """The metric on the long tail, mean over current records; empty without any."""
    found = sources.metrics.item_part(group.current, RARE.inside, JUDGED)
    return "" if found is None else f"{found:.4f}"


def _backbones(
    sources: Sources,
    dataset: str,
    head: str,
    cell: Callable[[Group], str],
    tests: Mapping[tuple[str, str], PairedTest],
) -> Iterator[str]:
    """A line per backbone, a column per form; marks are of tests against the backbone as it is."""
    rows: list[list[str]] = []
    for backbone in BACKBONES:
        groups = in_one_line(
            {form: sources.study.group(dataset, *row) for form, row in rows_of(backbone).items()}
        )
        if any(group.standings for group in groups.values()):
            cells = [
                f"{cell(group)}{_mark(tests, backbone, form)}" if group.standings else ""
                for form, group in groups.items()
            ]
            rows.append([f"`{backbone}`", *cells])
    yield from table([head, *FORMS], rows)


def _mark(tests: Mapping[tuple[str, str], PairedTest], backbone: str, form: str) -> str:
    test = tests.get((backbone, form))
    return test.mark if test else ""


def _strata(sources: Sources, dataset: str) -> Iterator[str]:
    """LightGCN's four forms by the degree of test items."""
    rows: list[list[str]] = []
    forms = {form: sources.study.group(dataset, *row).current for form, row in rows_of("lightgcn").items()}
    for form, group in in_one_line(forms).items():
        found = [sources.metrics.item_part(group, part.inside, JUDGED) for part in _PARTS.values()]
        if any(value is not None for value in found):
            rows.append([form, *("" if value is None else f"{value:.4f}" for value in found)])
    yield from table([f"LightGCN, {title(JUDGED)} by items' degree", *_PARTS], rows)


def _name(row: Row) -> str:
    model, label = row
    form = label.partition("-")[0]
    if row == OURS:
        return f"`{MODEL}` on LightGCN"
    if model != MODEL:
        return f"`{model}`"
    return words_of(row) if form == "text" else f"{form} vectors"

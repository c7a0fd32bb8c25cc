"""docs/results/lghrec.md: every figure from the records, and what has not been run by name."""

from collections.abc import Iterator
from typing import Final

from recommender.data import IntArray
from recommender.evaluation.significance import PairedTest
from scripts.study.beside import Beside, Row, Sources, data_set, verdict
from scripts.study.comparisons import Comparisons, Sides
from scripts.study.datasets import find_dataset
from scripts.study.groups import DAGGER, NOT_RUN, Study
from scripts.study.lghrec import (
    BACKBONES,
    CONTROLS,
    FIXED,
    LASTFM,
    MODEL,
    OTHERS,
    SEMANTIC_ID,
    SENSITIVITY,
    minimum,
    queue,
    with_hgpo,
)
from scripts.study.rank_metrics import BoolArray, RankMetrics
from scripts.study.records import Records
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import table, title

METRICS: Final = ("recall@20", "ndcg@20")
JUDGED: Final = "ndcg@20"
_WANTED: Final = 7
_BASE: Final = "as it is"
_FORMS: Final = (_BASE, "+ semantic ID", "+ HGPO", "+ both")
_OURS: Final = (MODEL, f"text-{with_hgpo('lightgcn')}")
_HEAD: Final = f"""# LGHRec

Written by `make docs` from the records in `docs/results/runs`: do not edit it by hand. `make results`
computes what is due (`python scripts/results.py --study lghrec --list` shows it).

LGHRec (arXiv 2505.12396) as `recommender/models/lghrec.py` reconstructs it, over nine backbones. A semantic
ID here is the vector of an item's text (all-MiniLM-L6-v2) joined by fusion=concat; HGPO chooses negatives
and temperatures of a contrast that is added to the backbone's own loss.

Test part, all items ranked but those that the user had before. Epochs are chosen on the validation part. Mean
± standard deviation over three seeds where there are several. `*` p < 0.05, `**` p < 0.01, paired bootstrap
over users, Holm-corrected over a table. {DAGGER}: the record is of earlier code, settings or data, and its
run is due again.
"""


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    sources = Sources(study, RankMetrics(records), comparisons)
    parts = [_HEAD, *status(study, minimum()), *_targets(sources)]
    for dataset in study.datasets():
        parts += _dataset(sources, dataset)
    return "\n".join([*parts, *not_run(study)]).rstrip() + "\n"


def rows_of(backbone: str) -> dict[str, Row]:
    """Form → its runs."""
    hgpo = with_hgpo(backbone)
    rows = (
        (backbone, "plain"),
        (backbone, f"text-{SEMANTIC_ID}"),
        (MODEL, f"plain-{hgpo}"),
        (MODEL, f"text-{hgpo}"),
    )
    return dict(zip(_FORMS, rows, strict=True))


def gains(sources: Sources, dataset: str) -> dict[tuple[str, str], PairedTest]:
    """(backbone, form) → its test against the backbone as it is; one family for the data set."""
    sides: dict[str, Sides] = {}
    for backbone in BACKBONES:
        rows = rows_of(backbone)
        base = sources.study.comparable(dataset, *rows[_BASE]).records
        for form in _FORMS[1:]:
            ours = sources.study.comparable(dataset, *rows[form]).records
            if ours and base:
                sides[f"{backbone}/{form}"] = (ours, base)
    found = sources.comparisons.family(sides, JUDGED)
    return {(name.partition("/")[0], name.partition("/")[2]): test for name, test in found.items()}


def _targets(sources: Sources) -> Iterator[str]:
    yield "## Targets\n"
    tests = gains(sources, LASTFM)
    both = [test for (_, form), test in tests.items() if form == _FORMS[-1]]
    num_better = sum(test.difference > 0 and bool(test.mark) for test in both)
    state = verdict(is_reached=num_better >= _WANTED) if len(both) == len(BACKBONES) else NOT_RUN
    rows = [
        [
            LASTFM,
            f"both better than the backbone, beyond chance, for ≥ {_WANTED} of {len(BACKBONES)}",
            f"{num_better} of {len(both)} that were run",
            state,
        ],
        [LASTFM, f"HGPO above fixed τ in {title(JUDGED)} of items of degree < 10", *_long_tail(sources)],
    ]
    yield from table(["data set", "target", "ours", ""], rows)


def _long_tail(sources: Sources) -> tuple[str, str]:
    rows = (_OURS, (MODEL, f"text-{FIXED}"))
    ours, theirs = (
        sources.metrics.item_part(sources.study.group(LASTFM, *row), rare, JUDGED) for row in rows
    )
    if ours is None or theirs is None:
        return NOT_RUN, NOT_RUN
    return f"{ours:.4f} against {theirs:.4f}", verdict(is_reached=ours > theirs)


def rare(degrees: IntArray) -> BoolArray:
    """The long tail: items of fewer than ten training users."""
    return degrees < 10


def _dataset(sources: Sources, dataset: str) -> Iterator[str]:
    head, is_run = data_set(sources.study, dataset, find_dataset(dataset).texts)
    yield from head
    if not is_run:
        return
    tests = gains(sources, dataset)
    for metric in METRICS:
        yield from _backbones(sources, dataset, metric, tests if metric == JUDGED else {})
    yield from _strata(sources, dataset)
    beside = Beside(sources, _OURS, "LGHRec", METRICS, JUDGED, _name)
    if dataset == LASTFM:
        yield "### On LightGCN: what HGPO is measured against\n"
        forms = [(MODEL, f"{form}-{with_hgpo('lightgcn')}") for form in ("shuffled", "random")]
        yield from beside.table(dataset, [*((MODEL, f"text-{name}") for name in CONTROLS), *forms])
        yield "### On LightGCN: other settings\n"
        yield from beside.table(dataset, [(MODEL, f"text-{name}") for name in SENSITIVITY])
    yield "### Beside other models that read texts\n"
    yield from beside.table(dataset, [(model, "text") for model in OTHERS])


def _backbones(
    sources: Sources, dataset: str, metric: str, tests: dict[tuple[str, str], PairedTest]
) -> Iterator[str]:
    rows: list[list[str]] = []
    for backbone in BACKBONES:
        groups = {form: sources.study.group(dataset, *row) for form, row in rows_of(backbone).items()}
        if any(group.standings for group in groups.values()):
            cells = [
                f"{sources.metrics.cell(group, metric)}{_mark(tests, backbone, form)}"
                if group.standings
                else ""
                for form, group in groups.items()
            ]
            rows.append([f"`{backbone}`", *cells])
    yield from table([title(metric), *_FORMS], rows)


def _mark(tests: dict[tuple[str, str], PairedTest], backbone: str, form: str) -> str:
    test = tests.get((backbone, form))
    return test.mark if test else ""


def _strata(sources: Sources, dataset: str) -> Iterator[str]:
    """LightGCN's four forms by the degree of test items."""
    parts = {
        "< 10": rare,
        "10-49": lambda degrees: (degrees >= 10) & (degrees < 50),
        "≥ 50": lambda degrees: degrees >= 50,
    }
    rows: list[list[str]] = []
    for form, row in rows_of("lightgcn").items():
        group = sources.study.group(dataset, *row)
        found = [sources.metrics.item_part(group, chosen, JUDGED) for chosen in parts.values()]
        if any(value is not None for value in found):
            rows.append([form, *("" if value is None else f"{value:.4f}" for value in found)])
    yield from table([f"LightGCN, {title(JUDGED)} by items' degree", *parts], rows)


def _name(row: Row) -> str:
    model, label = row
    form, _, variant = label.partition("-")
    if row == _OURS:
        return f"`{MODEL}` on LightGCN"
    if model != MODEL:
        return f"`{model}`"
    return variant.replace("-", " ") if form == "text" else f"{form} vectors"

"""docs/results/recmind.md: every figure from the records, and what has not been run by name."""

from collections.abc import Iterator
from typing import Final

from scripts.study import recmind_questions as questions
from scripts.study.beside import Beside, Row, Sources, data_set, verdict
from scripts.study.comparisons import Comparisons
from scripts.study.datasets import find_dataset
from scripts.study.groups import DAGGER, NOT_RUN, Study
from scripts.study.rank_metrics import RankMetrics
from scripts.study.recmind import (
    GRAPH_ONLY,
    MODEL,
    OF_ITS_KIND,
    TEXT_SETS,
    VARIANTS,
    WITHOUT_ALIGNMENT,
    minimum,
    queue,
)
from scripts.study.records import Records
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import interval, table, title

METRICS: Final = ("recall@20", "ndcg@20", "recall@40", "ndcg@40")
JUDGED: Final = "recall@40"
_GAIN: Final = 0.04
_OTHERS: Final = (
    *((model, "plain") for model in GRAPH_ONLY),
    ("lightgcn", "text"),
    *((model, "text") for model in OF_ITS_KIND),
)
_CONTROLS: Final = ("shuffled", "random", *(f"text-{variant}" for variant in VARIANTS))

_HEAD: Final = f"""# RecMind

Written by `make docs` from the records in `docs/results/runs`: do not edit it by hand. `make results`
computes what is due (`python scripts/results.py --study recmind --list` shows it).

RecMind (arXiv 2509.06286) as `recommender/models/recmind.py` reconstructs it: vectors of the items' texts
(all-MiniLM-L6-v2), aligned with the graph's and let into every layer by a gate. Users have no texts here:
theirs are the means of what they had, by the fallback (form *both* has texts of users, made from validation
events too). `rlmrec` and `alpharec` are of the types of their papers, reconstructed too.

Test part, all items ranked but those that the user had before. Epochs are chosen on the validation part.
Mean ± standard deviation over three seeds where there are several; one seed where there is no ±. Intervals
are of RecMind minus the row, 95 %, paired bootstrap over users; `*` p < 0.05, `**` p < 0.01, Holm-corrected
over a table. {DAGGER}: the record is of earlier code, settings or data, and its run is due again.
"""


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    sources = Sources(study, RankMetrics(records), comparisons)
    parts = [_HEAD, *status(study, minimum()), *_targets(sources)]
    for dataset in study.datasets():
        parts += _dataset(sources, dataset)
    return "\n".join([*parts, *questions.not_asked(), *not_run(study)]).rstrip() + "\n"


def _beside(sources: Sources) -> Beside:
    return Beside(sources, (MODEL, "text"), "RecMind", METRICS, JUDGED, _name)


def _targets(sources: Sources) -> Iterator[str]:
    yield "## Targets\n"
    rows: list[list[str]] = []
    for dataset in TEXT_SETS:
        targets = {
            "no model is better beyond chance": _best(sources, dataset),
            f"{title(JUDGED)} ≥ 4 % over LightGCN": _gain(sources, dataset),
            "more than that for items of degree ≤ 3": _rare(sources, dataset),
            "removing the alignment costs, beyond chance": _cost(sources, dataset),
            "≤ 1.5 times LightGCN's time per epoch": questions.epoch_ratio(sources.study, dataset),
        }
        rows += [[dataset, target, *found] for target, found in targets.items()]
    yield from table(["data set", "target", "ours", ""], rows)


def _best(sources: Sources, dataset: str) -> tuple[str, str]:
    tests = _beside(sources).tests(dataset, _OTHERS)
    if len(tests) < len(_OTHERS):
        return f"{len(tests)} of {len(_OTHERS)} compared", NOT_RUN
    better = [_name(row) for row, test in tests.items() if test.difference < 0 and test.mark]
    return f"better: {', '.join(better)}" if better else "none is", verdict(is_reached=not better)


def _relative(sources: Sources, dataset: str) -> float | None:
    """What RecMind gains over LightGCN, as a share of it; None if one was not run."""
    groups = (sources.study.group(dataset, *row) for row in ((MODEL, "text"), ("lightgcn", "plain")))
    ours, theirs = (sources.metrics.mean(group, JUDGED) for group in groups)
    return None if ours is None or not theirs else ours / theirs - 1


def _gain(sources: Sources, dataset: str) -> tuple[str, str]:
    gain = _relative(sources, dataset)
    return (NOT_RUN, NOT_RUN) if gain is None else (f"{gain:+.1%}", verdict(is_reached=gain >= _GAIN))


def _rare(sources: Sources, dataset: str) -> tuple[str, str]:
    overall = _relative(sources, dataset)
    ours, theirs = (
        sources.metrics.item_part(sources.study.group(dataset, *row), questions.RARE, JUDGED)
        for row in ((MODEL, "text"), ("lightgcn", "plain"))
    )
    if overall is None or ours is None or not theirs:
        return NOT_RUN, NOT_RUN
    gain = ours / theirs - 1
    return f"{gain:+.1%} ({theirs:.4f} to {ours:.4f})", verdict(is_reached=gain > overall)


def _cost(sources: Sources, dataset: str) -> tuple[str, str]:
    row = (MODEL, f"text-{WITHOUT_ALIGNMENT}")
    test = _beside(sources).tests(dataset, [row]).get(row)
    if test is None:
        return NOT_RUN, NOT_RUN
    return f"{interval(test)}{test.mark}", verdict(is_reached=test.difference > 0 and bool(test.mark))


def _dataset(sources: Sources, dataset: str) -> Iterator[str]:
    head, is_run = data_set(sources.study, dataset, find_dataset(dataset).texts)
    yield from head
    if is_run:
        beside = _beside(sources)
        yield from beside.table(dataset, [(MODEL, "both"), *_OTHERS])
        yield "### One part taken out\n"
        yield from beside.table(dataset, [(MODEL, label) for label in _CONTROLS])
        yield from questions.answers(sources.study, sources.metrics, dataset)


def _name(row: Row) -> str:
    model, label = row
    form, _, variant = label.partition("-")
    if model == MODEL:
        words = {"text": f"`{MODEL}`", "both": f"`{MODEL}`, texts of users too"}
        return variant.replace("-", " ") or words.get(form, f"{form} vectors")
    return f"`{model}`{' + text' if form == 'text' and model == 'lightgcn' else ''}"

"""docs/results/recmind.md: every figure from the records, and what has not been run by name."""

from collections.abc import Iterator, Sequence
from typing import Final

from scripts.study import recmind_questions as questions
from scripts.study.comparisons import Comparisons, Sides
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
    metrics = RankMetrics(records)
    parts = [_HEAD, *status(study, minimum()), *_targets(study, metrics, comparisons)]
    for dataset in study.datasets():
        parts += _dataset(study, metrics, comparisons, dataset)
    return "\n".join([*parts, *questions.not_asked(), *not_run(study)]).rstrip() + "\n"


def _targets(study: Study, metrics: RankMetrics, comparisons: Comparisons) -> Iterator[str]:
    yield "## Targets\n"
    rows: list[list[str]] = []
    for dataset in TEXT_SETS:
        rows.append([dataset, "no model is better beyond chance", *_best(study, comparisons, dataset)])
        rows.append([dataset, f"{title(JUDGED)} ≥ 4 % over LightGCN", *_gain(study, metrics, dataset)])
        rows.append([dataset, "more than that for items of degree ≤ 3", *_rare(study, metrics, dataset)])
        rows.append(
            [dataset, "removing the alignment costs, beyond chance", *_cost(study, comparisons, dataset)]
        )
        rows.append(
            [dataset, "≤ 1.5 times LightGCN's time per epoch", *questions.epoch_ratio(study, dataset)]
        )
    yield from table(["data set", "target", "ours", ""], rows)


def _best(study: Study, comparisons: Comparisons, dataset: str) -> tuple[str, str]:
    tests = comparisons.family(_sides(study, dataset, _OTHERS), JUDGED)
    if len(tests) < len(_OTHERS):
        return f"{len(tests)} of {len(_OTHERS)} compared", NOT_RUN
    better = [name for name, test in tests.items() if test.difference < 0 and test.mark]
    shown = f"better: {', '.join(f'`{name}`' for name in better)}" if better else "none is"
    return shown, _reached(not better)


def _gain(study: Study, metrics: RankMetrics, dataset: str) -> tuple[str, str]:
    ours = metrics.mean(study.group(dataset, MODEL, "text"), JUDGED)
    theirs = metrics.mean(study.group(dataset, "lightgcn"), JUDGED)
    if ours is None or theirs is None:
        return NOT_RUN, NOT_RUN
    return f"{ours / theirs - 1:+.1%}", _reached(ours / theirs - 1 >= _GAIN)


def _rare(study: Study, metrics: RankMetrics, dataset: str) -> tuple[str, str]:
    overall, _ = _gain(study, metrics, dataset)
    ours, theirs = (
        metrics.item_part(study.group(dataset, model, label), questions.RARE, JUDGED)
        for model, label in ((MODEL, "text"), ("lightgcn", "plain"))
    )
    if ours is None or theirs is None or not theirs:
        return NOT_RUN, NOT_RUN
    gain = ours / theirs - 1
    return f"{gain:+.1%} ({theirs:.4f} to {ours:.4f})", _reached(gain > float(overall.rstrip("%")) / 100)


def _cost(study: Study, comparisons: Comparisons, dataset: str) -> tuple[str, str]:
    sides = _sides(study, dataset, [(MODEL, f"text-{WITHOUT_ALIGNMENT}")])
    if not sides:
        return NOT_RUN, NOT_RUN
    (test,) = comparisons.family(sides, JUDGED).values()
    return f"{interval(test)}{test.mark}", _reached(test.difference > 0 and bool(test.mark))


def _dataset(study: Study, metrics: RankMetrics, comparisons: Comparisons, dataset: str) -> Iterator[str]:
    declared, facts = find_dataset(dataset), study.records.facts(dataset)
    yield f"## {dataset}\n"
    if facts is None:
        yield f"Texts: {declared.texts}. Nothing has been run.\n"
        return
    yield (
        f"{facts.num_users:,} users, {facts.num_items:,} items; {facts.num_train:,} pairs train. "
        f"Texts: {declared.texts}.\n"
    )
    yield from _comparison(study, metrics, comparisons, dataset, _OTHERS)
    yield "### One part taken out\n"
    rows = [(MODEL, label) for label in _CONTROLS]
    yield from _comparison(study, metrics, comparisons, dataset, rows)
    yield from questions.answers(study, metrics, dataset)


def _comparison(
    study: Study,
    metrics: RankMetrics,
    comparisons: Comparisons,
    dataset: str,
    others: Sequence[tuple[str, str]],
) -> Iterator[str]:
    tests = comparisons.family(_sides(study, dataset, others), JUDGED)
    rows: list[list[str]] = []
    for model, label in ((MODEL, "text"), (MODEL, "both"), *others):
        group, name = study.group(dataset, model, label), _name(model, label)
        if not group.standings:
            continue
        test = tests.get(name)
        cells = [metrics.cell(group, metric) for metric in METRICS]
        rows.append([name, *cells, f"{interval(test)}{test.mark}" if test else ""])
    yield from table(["model", *map(title, METRICS), f"{title(JUDGED)}: RecMind minus it"], rows)


def _sides(study: Study, dataset: str, others: Sequence[tuple[str, str]]) -> dict[str, Sides]:
    ours = study.comparable(dataset, MODEL, "text").records
    found = {_name(*other): study.comparable(dataset, *other).records for other in others}
    return {name: (ours, theirs) for name, theirs in found.items() if ours and theirs}


def _name(model: str, label: str) -> str:
    form, _, variant = label.partition("-")
    if model == MODEL:
        words = {"text": f"`{MODEL}`", "both": f"`{MODEL}`, texts of users too"}
        return variant.replace("-", " ") or words.get(form, f"{form} vectors")
    return f"`{model}`{' + text' if form == 'text' and model == 'lightgcn' else ''}"


def _reached(is_reached: bool) -> str:
    return "reached" if is_reached else "**not reached**"

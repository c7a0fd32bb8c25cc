"""docs/results/core.md: every figure from the records, and what has not been run by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scripts.study import text_help
from scripts.study.comparisons import Comparisons, Sides
from scripts.study.core import AMAZON, FULL, GOWALLA, minimum, queue
from scripts.study.datasets import find_dataset
from scripts.study.groups import DAGGER, NOT_RUN, SEEDS, Study
from scripts.study.kinds import HISTORY, best_of_kinds, control_of
from scripts.study.records import Records
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import (
    cost_table,
    curve_table,
    gain_table,
    interval,
    is_learned,
    result_table,
    stopped,
    table,
    title,
    variant_table,
)

_HEAD: Final = f"""# Core results

Written by `make docs` from the records in `docs/results/runs`: do not edit it by hand. `make results`
computes what is due (`python scripts/results.py --list` shows it); a stopped run goes on where it was.

Test part, all items ranked but those that the user had before; equal scores count as their expected rank.
Epochs are chosen on the validation part, and the test part is read once, at the end. Settings are those of
the models' files, each of which says where its own come from: weights of contrasts of `sgl`, `simgcl`,
`xsimgcl`, `ncl`, `directau`, `lightgcl` and `simplex` were chosen on colakg-lastfm's validation part and are
used as they are on the other data sets; so was the scale of the adapter of texts, by LightGCN, and dropout
and temperature of `sasrec` on amazon14-beauty's validation part; nothing was searched for the others, and
Adam's step is 0.005 (LightGCN's paper: 0.001) unless a model's file or a variant says otherwise. `counting`
and `sasrec` read histories and are asked with those of train and validation; texts of users were made from
validation events too; all else knows the training part alone. {SEEDS}

Marks against the same model's plain form: `*` p < 0.05, `**` p < 0.01, paired bootstrap over users,
Holm-corrected over a table; differences to what trains nothing are to the best of it by validation. *Ends
after*: epochs without a better validation. {DAGGER}: the record is of earlier code, settings or data, and its
run is due again.

The forms of a model: *plain*, interactions only; *+ text*, vectors of the items' texts (all-MiniLM-L6-v2)
joined to its embeddings by `fusion=add`; *+ shuffled*, every item has another item's vector; *+ random*,
Gaussian directions. The last two are controls: what they gain, text did not.
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure to reach, or a published one to stand beside.

    Attributes:
        dataset: Data set.
        model: Model.
        label: Form and variant.
        metric: Of the test part.
        value: To reach, or published.
        source: Of a published one; empty for a target.
    """

    dataset: str
    model: str
    label: str
    metric: str
    value: float
    source: str = ""


TARGETS: Final = (
    Figure(AMAZON[0], "sasrec", "plain", "hr@10", 0.080),
    Figure(AMAZON[1], "sasrec", "plain", "hr@10", 0.086),
    Figure(GOWALLA, "lightgcn", f"plain-{FULL}", "recall@20", 0.180),
)
_ID_ONLY: Final = "ID-only transformer, InfoNCE (in arXiv 2512.17820)"
_COUNTED: Final = "the recipe's own figures"
PUBLISHED: Final = (
    Figure(AMAZON[0], "counting", "plain", "hr@5", 0.0621, _COUNTED),
    Figure(AMAZON[0], "counting", "plain", "ndcg@5", 0.0454, _COUNTED),
    Figure(AMAZON[0], "counting", "plain", "hr@10", 0.0829, _COUNTED),
    Figure(AMAZON[0], "counting", "plain", "ndcg@10", 0.0521, _COUNTED),
    Figure(AMAZON[1], "counting", "plain", "hr@5", 0.0746, _COUNTED),
    Figure(AMAZON[1], "counting", "plain", "ndcg@5", 0.0556, _COUNTED),
    Figure(AMAZON[1], "counting", "plain", "hr@10", 0.0967, _COUNTED),
    Figure(AMAZON[1], "counting", "plain", "ndcg@10", 0.0628, _COUNTED),
    Figure(AMAZON[0], "sasrec", "plain", "hr@10", 0.0821, _ID_ONLY),
    Figure(AMAZON[0], "sasrec", "plain", "ndcg@10", 0.0489, _ID_ONLY),
    Figure(AMAZON[1], "sasrec", "plain", "hr@10", 0.0881, _ID_ONLY),
    Figure(AMAZON[1], "sasrec", "plain", "ndcg@10", 0.0546, _ID_ONLY),
    Figure(GOWALLA, "lightgcn", "plain", "recall@20", 0.1824, "LightGCN, 3 layers, 1,000 epochs"),
    Figure(GOWALLA, "lightgcn", "plain", "ndcg@20", 0.1547, "LightGCN, 3 layers, 1,000 epochs"),
)


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    parts = [_HEAD, *status(study, minimum()), *_answers(study, comparisons), *_figures(study)]
    for dataset in study.datasets():
        parts += _dataset(study, comparisons, dataset)
    return "\n".join([*parts, *not_run(study)]).rstrip() + "\n"


def _answers(study: Study, comparisons: Comparisons) -> Iterator[str]:
    yield "## Does text help?\n"
    for dataset in study.datasets():
        if find_dataset(dataset).item_feature is not None:
            yield from text_help.answer(study, comparisons, dataset)


def _figures(study: Study) -> Iterator[str]:
    yield "## Targets\n"
    rows = [[*_name(f), f"≥ {f.value:.3f}", *_reached(study, f)] for f in TARGETS]
    yield from table(["data set", "model", "metric", "target", "ours", ""], rows)
    yield "## Beside published figures\n"
    rows = [[*_name(f), _cell(study, f), f"{f.value:.4f}", f.source] for f in PUBLISHED]
    yield from table(["data set", "model", "metric", "ours", "published", "what that is"], rows)


def _name(figure: Figure) -> list[str]:
    variant = figure.label.partition("-")[2]
    model = f"`{figure.model}`{f', {variant}' if variant else ''}"
    return [figure.dataset, model, title(figure.metric)]


def _cell(study: Study, figure: Figure) -> str:
    group = study.group(figure.dataset, figure.model, figure.label)
    words = stopped(group.records)
    return group.cell(figure.metric) + (f" ({words})" if words else "")


def _reached(study: Study, figure: Figure) -> tuple[str, str]:
    mean = study.group(figure.dataset, figure.model, figure.label).mean(figure.metric)
    if mean is None:
        return NOT_RUN, NOT_RUN
    return _cell(study, figure), "reached" if mean >= figure.value else "**not reached**"


def _dataset(study: Study, comparisons: Comparisons, dataset: str) -> Iterator[str]:
    declared, facts = find_dataset(dataset), study.records.facts(dataset)
    yield f"## {dataset}\n"
    if facts is None:
        yield f"Texts: {declared.texts}. Nothing has been run.\n"
        return
    yield (
        f"{facts.num_users:,} users, {facts.num_items:,} items; {facts.num_train:,} pairs train, "
        f"{facts.num_valid:,} validate, {facts.num_test:,} test. Texts: {declared.texts}.\n"
    )
    for metric in declared.metrics:
        yield from result_table(study, comparisons, dataset, metric)
    yield from variant_table(study, dataset)
    yield from untrained_table(study, comparisons, dataset)
    yield from gain_table(study, dataset)
    if dataset == GOWALLA:
        yield "### Learning curve\n"
        yield from curve_table(study, dataset, "lightgcn")
    yield from cost_table(study, dataset)


def untrained_table(study: Study, comparisons: Comparisons, dataset: str) -> Iterator[str]:
    """Learned models, plain forms, against the best by validation of what trains nothing."""
    metric = find_dataset(dataset).metrics[1]
    control = control_of(best_of_kinds(study, dataset), HISTORY, metric)
    if control is None:
        return
    groups = {
        model: study.comparable(dataset, model, "plain").current.records
        for model in study.models(dataset)
        if is_learned(model)
    }
    sides: dict[str, Sides] = {m: (ours, control.group.records) for m, ours in groups.items() if ours}
    tests = comparisons.family(sides, metric)
    rows = [[f"`{model}`", interval(test), test.mark or "undecided"] for model, test in tests.items()]
    yield from table(["model", f"{title(metric)} minus {control.name}", ""], rows)

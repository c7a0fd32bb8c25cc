"""Tables of docs/results/core.md: one data set at a time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from recommender.evaluation.significance import PairedTest
from recommender.metrics import Float64Array
from scripts.study.comparisons import Comparisons, Sides
from scripts.study.core import CONTROLS, TEXT_CONTROL
from scripts.study.datasets import find_dataset
from scripts.study.groups import Study
from scripts.study.runs import Record

FORM_NAMES: Final = {
    "plain": "plain",
    "text": "+ text",
    "shuffled": "+ shuffled",
    "random": "+ random",
    "both": "+ text of items and users",
}
YARDSTICK: Final = "counting"
"""Of what comes next: it counts, and learns nothing."""
ITEM_PARTS: Final = ("0 (cold)", "1-9", "10-49", ">=50")
_MOST_ROWS: Final = 12
_FEWEST_PAIRS: Final = 200
"""A mean over fewer test pairs says little."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table; nothing without rows."""
    cells = list(rows)
    if cells:
        yield f"| {' | '.join(columns)} |"
        yield f"|{'---|' * len(columns)}"
        yield from (f"| {' | '.join(row)} |" for row in cells)
        yield ""


def title(metric: str) -> str:
    """``ndcg@10`` as tables write it: ``NDCG@10``."""
    name, _, cutoff = metric.partition("@")
    return f"{name.capitalize() if name == 'recall' else name.upper()}@{cutoff}"


def form_name(label: str) -> str:
    """A form and its variant in words."""
    form, _, variant = label.partition("-")
    return f"{FORM_NAMES[form]}, {variant}" if variant else FORM_NAMES[form]


def against_plain(
    study: Study, comparisons: Comparisons, dataset: str, metric: str
) -> dict[tuple[str, str], PairedTest]:
    """(model, form) → its test against the same model's plain form; one family for the data set."""
    sides: dict[str, Sides] = {
        f"{model} {label}": (ours.records, plain.records)
        for label in study.labels(dataset)
        if label != "plain"
        for model, ours, plain in study.paired(dataset, label, "plain")
    }
    found = comparisons.family(sides, metric)
    return {(name.partition(" ")[0], name.partition(" ")[2]): test for name, test in found.items()}


def result_table(study: Study, comparisons: Comparisons, dataset: str, metric: str) -> Iterator[str]:
    """Models by forms; marks are of tests against the plain form."""
    labels = [label for label in study.labels(dataset) if "-" not in label]
    tests = against_plain(study, comparisons, dataset, metric)
    rows: list[list[str]] = []
    for model in study.models(dataset):
        cells = [f"`{model}`"]
        for label in labels:
            test = tests.get((model, label))
            cells.append(study.group(dataset, model, label).cell(metric, test.mark if test else ""))
        rows.append(cells)
    yield from table([title(metric), *map(form_name, labels)], rows)


def variant_table(study: Study, dataset: str) -> Iterator[str]:
    """Settings that were declared beside the usual ones."""
    metrics = find_dataset(dataset).metrics
    rows: list[list[str]] = []
    for model in study.models(dataset):
        for label in (label for label in study.labels(dataset) if "-" in label):
            group = study.group(dataset, model, label)
            if group.standings:
                rows.append([f"`{model}`", form_name(label), *(group.cell(metric) for metric in metrics)])
    yield from table(["model", "variant", *map(title, metrics)], rows)


def gain_table(study: Study, dataset: str) -> Iterator[str]:
    """What text adds to recall, by how often an item or user was in training; small parts are left out.

    Mean ± standard deviation over the seeds that both forms have.
    """
    metric = find_dataset(dataset).metrics[0]
    parts = [("item degree", part) for part in ITEM_PARTS] + [("user degree", part) for part in ITEM_PARTS]
    sizes: dict[tuple[str, str], int] = {}
    rows: list[list[str]] = []
    for model, text, plain in study.paired(dataset, "text", "plain"):
        sizes |= {part: size for part in parts if (size := text.stratum_size(*part))}
        cells = [f"`{model}`"]
        for kind, part in parts:
            ours, theirs = (group.stratum_of_seeds(kind, part, metric) for group in (text, plain))
            cells.append(_gain(np.subtract(ours, theirs), np.array(theirs)) if ours and theirs else "")
        rows.append(cells)
    used = [n for n, part in enumerate(parts, 1) if sizes.get(part, 0) >= _FEWEST_PAIRS]
    heads = [f"{kind.split()[0]}s {part} ({sizes.get((kind, part), 0):,} pairs)" for kind, part in parts]
    columns = [f"{title(metric)} gain", *(heads[n - 1] for n in used)]
    yield from table(columns, [[row[0], *(row[n] for n in used)] for row in rows])


def _gain(gains: Float64Array, before: Float64Array) -> str:
    """(s,) gains of seeds over (s,) values before."""
    spread = f" ± {gains.std(ddof=1):.4f}" if len(gains) > 1 else ""
    return f"{gains.mean():+.4f}{spread} on {before.mean():.4f}"


def cost_table(study: Study, dataset: str) -> Iterator[str]:
    """How long training took, plain forms of seed 0; the step of the fastest seed."""
    rows: list[list[str]] = []
    for model in study.models(dataset):
        records = study.group(dataset, model).current.records
        if records and records[0].fit.epochs:
            fit = records[0].fit
            cells = [f"`{model}`", f"{fit.epochs}", f"{fit.best_epoch}", patience(records[0])]
            rows.append([*cells, f"{fit.seconds / 60:.1f}", f"{fastest_step(records):.1f}"])
    if rows:
        yield "Times are of one thread beside other work, no benchmark; ms/step of the fastest seed.\n"
    yield from table(["model", "epochs", "best epoch", "ends after", "minutes", "ms/step"], rows)


def fastest_step(records: Sequence[Record]) -> float:
    """Milliseconds of the fastest seed: other work on the machine slows the others down."""
    return min(record.fit.step_milliseconds for record in records)


def stopped(records: Sequence[Record]) -> str:
    """That a limit of time ended training, in words; nothing if it ended by itself."""
    minutes = {record.stopped_minutes for record in records} - {None}
    return f"stopped after {minutes.pop():g} minutes" if minutes else ""


def patience(record: Record) -> str:
    """How many epochs without a better validation end training."""
    if "patience" not in record.config:
        return ""
    return f"{record.config['eval_every'] * record.config['patience']}"


def curve_table(study: Study, dataset: str, model: str, label: str = "plain") -> Iterator[str]:
    """Validations of one run, at most a dozen of them, the kept epoch among them."""
    records = study.group(dataset, model, label).current.records
    if not records:
        yield f"`{model}` on {dataset}: not run.\n"
        return
    fit = records[0].fit
    history = [each for each in fit.history if each.metric is not None]
    step = max(1, -(-len(history) // _MOST_ROWS))
    shown = [e for n, e in enumerate(history, 1) if n % step == 0 or e.epoch in {1, fit.best_epoch}]
    rows = [
        [f"{e.epoch}", f"{e.loss:.4f}", f"{e.metric:.4f}", f"{e.seconds / 60:.0f}"]
        for e in shown
        if e.metric is not None
    ]
    yield from table(["epoch", "loss", f"validation {title(fit.monitor)}", "minutes"], rows)


def interval(test: PairedTest) -> str:
    """A difference with its 95 % interval."""
    return f"{test.difference:+.4f} ({test.low:+.4f} to {test.high:+.4f})"


def is_learned(model: str) -> bool:
    """Whether a model is none of the controls."""
    return model not in {*CONTROLS, TEXT_CONTROL}

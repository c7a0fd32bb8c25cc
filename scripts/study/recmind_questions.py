"""What RecMind's paper leaves open, answered by the records: gates, warm-up, rare items, groups."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from recommender.data import FloatArray
from recommender.evaluation.significance import PairedTest, holm, paired_tests
from scripts.study.beside import Row, Sources
from scripts.study.groups import Study
from scripts.study.item_parts import ItemPart
from scripts.study.rank_metrics import RankMetrics
from scripts.study.recmind import LATE_FUSION, MODEL, OF_ITS_KIND, WITHOUT_WARM_UP
from scripts.study.recmind_targets import BASE, OURS, RARE
from scripts.study.row_tables import marked
from scripts.study.runs import Record
from scripts.study.same_seeds import rows_of_same_seeds
from scripts.study.tables import table, title

_METRIC: Final = "recall@40"
_PARTS: Final = {
    "≤ 3": ItemPart(most=3),
    "4-9": ItemPart(4, 9),
    "10-49": ItemPart(10, 49),
    "≥ 50": ItemPart(50),
}
_LATE: Final[Row] = (MODEL, f"text-{LATE_FUSION}")
_SHOWN: Final[tuple[Row, ...]] = (BASE, ("lightgcn", "text"), OURS, _LATE)
_DOMINANT: Final = 0.5
_BAR: Final = 20


def answers(sources: Sources, dataset: str) -> Iterator[str]:
    """All questions that the records of one data set answer."""
    yield from _item_parts(sources, dataset)
    yield from _gates(sources.study, dataset)
    yield from _warm_up(sources.study, sources.metrics, dataset)
    yield from _user_groups(sources, dataset)


def not_asked() -> Iterator[str]:
    """Questions that no run here can answer, and why."""
    yield "## Not asked\n"
    yield (
        "An instruct model against its base as the prior needs the weights of both, and those of the base "
        "are on no package registry.\n"
    )


def _item_parts(sources: Sources, dataset: str) -> Iterator[str]:
    rows: list[list[str]] = []
    for row in _SHOWN:
        group = sources.study.group(dataset, *row).current
        found = [sources.metrics.item_part(group, part.inside, _METRIC) for part in _PARTS.values()]
        if any(value is not None for value in found):
            rows.append([_named(row), *("" if v is None else f"{v:.4f}" for v in found)])
    if rows:
        yield f"### {title(_METRIC)} of test pairs by training users of their item\n"
    yield from table(["model", *_PARTS], rows)
    ours, theirs = rows_of_same_seeds(sources.study, dataset, OURS, _LATE)
    if ours.records and theirs.records:
        test = sources.comparisons.family({"": (ours.records, theirs.records)}, _METRIC, RARE)[""]
        yield (
            "Gates or late fusion for rare items? RecMind minus late fusion at "
            f"≤ {RARE.most}: {marked(test)}, p {test.p_value:.2g}: {_better_of(test)}.\n"
        )


def _better_of(test: PairedTest) -> str:
    if not test.mark:
        return "no difference beyond chance"
    return "gates are better" if test.difference > 0 else "late fusion is better"


def _gates(study: Study, dataset: str) -> Iterator[str]:
    records = [record for record in study.group(dataset, *OURS).current.records if record.gates]
    if not records:
        return
    yield "### Does language enter the layers of rare nodes?\n"
    first = _first_gate(records)
    yield (
        "Share g of its own vector in what a node sends on, the rest being its text's; mean over nodes, "
        f"layers and seeds. It says how the two are mixed, not how long either is.{_begin(first)}\n"
    )
    layers = {part.part: _layers(records, part.part) for part in records[0].gates}
    sizes = {part.part: part.num_nodes for part in records[0].gates}
    texts = {part: 1 - float(shares.mean()) for part, shares in layers.items()}
    most = max(texts.values()) or 1.0
    rows: list[list[str]] = []
    for part, shares in layers.items():
        moved = [] if first is None else [f"{shares.mean() - first:+.3f}"]
        bar = "█" * round(_BAR * texts[part] / most)
        cells = [f"{value:.3f}" for value in shares]
        rows.append([part, f"{sizes[part]:,}", *cells, *moved, f"{texts[part]:.3f} `{bar.ljust(_BAR, '·')}`"])
    heads = [f"layer {number}" for number in range(len(records[0].gates[0].means))]
    change = [] if first is None else ["since the beginning"]
    yield from table(["training degree", "nodes", *heads, *change, "share of texts"], rows)
    rare = next((part for part in layers if part.startswith("items")), None)
    if rare is not None:
        verb = "does" if texts[rare] > _DOMINANT else "does not dominate"
        tail = " dominate" if texts[rare] > _DOMINANT else ""
        yield f"Language {verb}{tail} in the layers of the rarest nodes: {texts[rare]:.3f} of *{rare}*.\n"


def _layers(records: Sequence[Record], part: str) -> FloatArray:
    """(L,) means over seeds."""
    return np.mean([p.means for record in records for p in record.gates if p.part == part], axis=0)


def _first_gate(records: Sequence[Record]) -> float | None:
    """Where the gates of all seeds begin; None if that is not known, or not one value."""
    found = {record.config.get("first_gate") for record in records}
    first = found.pop()
    return None if found or first is None else float(first)


def _begin(first: float | None) -> str:
    if first is None:
        return ""
    return f" All gates begin at {first:g}: one that has hardly moved from there says nothing about texts."


def _warm_up(study: Study, metrics: RankMetrics, dataset: str) -> Iterator[str]:
    rows: list[list[str]] = []
    for name, label in (("with", "text"), ("without", f"text-{WITHOUT_WARM_UP}")):
        group = study.group(dataset, MODEL, label).current
        if group.records:
            first = [r.fit.history[0].metric or 0.0 for r in group.records if r.fit.history]
            best = [float(r.fit.best_epoch) for r in group.records]
            test = metrics.means(group, _METRIC)
            rows.append([name, _spread(first), _spread(best, 1), _spread(test), f"{len(group.records)}"])
    if rows:
        yield "### Warm-up\n"
        yield (
            "Phase 1 also trains the MLP of nodes without a text, by hiding texts; *without* leaves that to "
            "phase 2.\n"
        )
    columns = ["phase 1", "first validation", "best epoch", f"test {title(_METRIC)}", "seeds"]
    yield from table(columns, rows)


def _spread(values: list[float], digits: int = 4) -> str:
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else ""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _user_groups(sources: Sources, dataset: str) -> Iterator[str]:
    groups = rows_of_same_seeds(sources.study, dataset, OURS, BASE)
    cuts = sources.study.records.user_groups(dataset)
    if not cuts or not groups[0].records:
        return
    ours, theirs = (sources.metrics.per_user_mean(group, _METRIC) for group in groups)
    parts = {f"{cut.kind} | {label}": cut.codes == n for cut in cuts for n, label in enumerate(cut.labels)}
    parts = {part: inside for part, inside in parts.items() if inside.any()}
    raw = {part: paired_tests({"": ours[inside]}, theirs[inside])[""] for part, inside in parts.items()}
    corrected = holm({part: test.p_value for part, test in raw.items()})
    rows = [
        [
            part,
            f"{int(inside.sum()):,}",
            f"{ours[inside].mean():.4f}",
            f"{theirs[inside].mean():.4f}",
            marked(replace(raw[part], holm_p_value=corrected[part])),
        ]
        for part, inside in parts.items()
    ]
    yield f"### {title(_METRIC)} by groups of users\n"
    yield "Intervals are of users of the group, Holm-corrected over the table.\n"
    yield from table(["by", "group", "users", "RecMind", "`lightgcn`", "RecMind minus it"], rows)


def _named(row: Row) -> str:
    model, label = row
    _, _, variant = label.partition("-")
    text = " + text" if label == "text" and model not in {MODEL, *OF_ITS_KIND} else ""
    return f"`{model}`{text}" + (f", {variant.replace('-', ' ')}" if variant else "")

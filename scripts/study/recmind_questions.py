"""What RecMind's paper leaves open, answered by the records: gates, warm-up, rare items, groups, cost."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from scripts.study.beside import Row
from scripts.study.groups import Study
from scripts.study.item_parts import ItemPart
from scripts.study.rank_metrics import RankMetrics
from scripts.study.recmind import LATE_FUSION, MODEL, OF_ITS_KIND, WITHOUT_WARM_UP
from scripts.study.recmind_targets import BASE, OURS
from scripts.study.runs import Record
from scripts.study.same_seeds import READING, epoch_seconds, epoch_times, rows_of_same_seeds
from scripts.study.tables import table, title

_METRIC: Final = "recall@40"
_PARTS: Final = {
    "≤ 3": ItemPart(most=3),
    "4-9": ItemPart(4, 9),
    "10-49": ItemPart(10, 49),
    "≥ 50": ItemPart(50),
}
_SHOWN: Final[tuple[Row, ...]] = (BASE, ("lightgcn", "text"), OURS, (MODEL, f"text-{LATE_FUSION}"))
_BAR: Final = 20


def answers(study: Study, metrics: RankMetrics, dataset: str) -> Iterator[str]:
    """All questions that the records of one data set answer."""
    yield from _item_parts(study, metrics, dataset)
    yield from _gates(study, dataset)
    yield from _warm_up(study, metrics, dataset)
    yield from _user_groups(study, metrics, dataset)
    yield from _cost(study, dataset)


def not_asked() -> Iterator[str]:
    """Questions that no run here can answer, and why."""
    yield "## Not asked\n"
    yield (
        "An instruct model against its base as the prior needs the weights of both, and those of the base "
        "are on no package registry.\n"
    )


def _item_parts(study: Study, metrics: RankMetrics, dataset: str) -> Iterator[str]:
    rows: list[list[str]] = []
    for row in _SHOWN:
        group = study.group(dataset, *row).current
        found = [metrics.item_part(group, part.inside, _METRIC) for part in _PARTS.values()]
        if any(value is not None for value in found):
            rows.append([_named(row), *("" if v is None else f"{v:.4f}" for v in found)])
    if rows:
        yield f"### {title(_METRIC)} of test pairs by training users of their item\n"
    yield from table(["model", *_PARTS], rows)


def _gates(study: Study, dataset: str) -> Iterator[str]:
    records = [record for record in study.group(dataset, *OURS).current.records if record.gates]
    if not records:
        return
    yield "### Share of its own vector that a node keeps\n"
    first = _first_gate(records)
    means = "Mean over nodes, layers and seeds; the rest comes from its text. 1 would be LightGCN."
    yield f"{means}{_begin(first)}\n"
    rows: list[list[str]] = []
    for part in records[0].gates:
        found = [p.means for record in records for p in record.gates if p.part == part.part]
        layers = np.mean(found, axis=0)  # (L,)
        moved = [] if first is None else [f"{layers.mean() - first:+.3f}"]
        bar = "█" * round(_BAR * float(layers.mean()))
        rows.append(
            [
                part.part,
                f"{part.num_nodes:,}",
                *(f"{value:.3f}" for value in layers),
                *moved,
                f"`{bar.ljust(_BAR, '·')}`",
            ]
        )
    heads = [f"layer {number}" for number in range(len(records[0].gates[0].means))]
    change = [] if first is None else ["since the beginning"]
    yield from table(["degree", "nodes", *heads, *change, ""], rows)


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
    columns = ["phase 1", "first validation", "best epoch", f"test {title(_METRIC)}", "seeds"]
    yield from table(columns, rows)


def _spread(values: list[float], digits: int = 4) -> str:
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else ""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _user_groups(study: Study, metrics: RankMetrics, dataset: str) -> Iterator[str]:
    groups = rows_of_same_seeds(study, dataset, OURS, BASE)
    cuts = study.records.user_groups(dataset)
    if not cuts or not groups[0].records:
        return
    yield f"### {title(_METRIC)} by groups of users\n"
    rows: list[list[str]] = []
    for cut in cuts:
        for code, label in enumerate(cut.labels):
            inside = cut.codes == code
            if inside.any():
                ours, theirs = (metrics.user_part(group, inside, _METRIC) for group in groups)
                assert ours is not None
                assert theirs is not None
                cells = [f"{ours:.4f}", f"{theirs:.4f}", f"{ours - theirs:+.4f}"]
                rows.append([cut.kind, label, f"{int(inside.sum()):,}", *cells])
    yield from table(["by", "group", "users", "RecMind", "`lightgcn`", "difference"], rows)


def _cost(study: Study, dataset: str) -> Iterator[str]:
    """Times of current records; multiples are of the seeds that both have."""
    rows: list[list[str]] = []
    for model in study.models(dataset):
        row = (model, "plain" if study.group(dataset, model).current.records else "text")
        seconds = epoch_seconds(study, study.group(dataset, *row))
        if seconds is not None:
            both = epoch_times(study, dataset, row, BASE)
            times = f"{both[0] / both[1]:.2f}" if both else ""
            rows.append([_named(row), f"{seconds:.2f}", times])
    if rows:
        yield f"### Cost, {READING}\n"
    yield from table(["model", "seconds per epoch, one thread", "times `lightgcn`, same seeds"], rows)


def _named(row: Row) -> str:
    model, label = row
    _, _, variant = label.partition("-")
    text = " + text" if label == "text" and model not in {MODEL, *OF_ITS_KIND} else ""
    return f"`{model}`{text}" + (f", {variant.replace('-', ' ')}" if variant else "")

"""What RecMind's paper leaves open, answered by the records: gates, warm-up, rare items, groups, cost."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

import numpy as np

from recommender.data import IntArray
from scripts.study.beside import verdict
from scripts.study.groups import NOT_RUN, Group, Study
from scripts.study.rank_metrics import BoolArray, RankMetrics
from scripts.study.recmind import LATE_FUSION, MODEL, WITHOUT_WARM_UP
from scripts.study.tables import table, title

_METRIC: Final = "recall@40"
_BOUNDS: Final = (0, 4, 10, 50, 1 << 31)
_PARTS: Final = ("≤ 3", "4-9", "10-49", "≥ 50")
_SHOWN: Final = (
    ("lightgcn", "plain"),
    ("lightgcn", "text"),
    (MODEL, "text"),
    (MODEL, f"text-{LATE_FUSION}"),
)
_BAR: Final = 20


def RARE(degrees: IntArray) -> BoolArray:  # noqa: N802 - a part among others
    """Items of at most three training users."""
    return degrees <= 3


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
        "are on no package registry. An alignment of Beauty carried over to Toys has no run declared yet.\n"
    )


def epoch_seconds(study: Study, group: Group) -> float | None:
    """Median milliseconds of a step times steps of an epoch, the fastest seed; None without records."""
    found: list[float] = []
    for record in group.records:
        facts = study.records.facts(record.run.dataset)
        if facts is not None and "batch_size" in record.config:
            steps = -(-facts.num_train // int(record.config["batch_size"]))
            found.append(steps * record.fit.step_milliseconds / 1000)
    return min(found) if found else None


def epoch_ratio(study: Study, dataset: str) -> tuple[str, str]:
    """RecMind's time per epoch as a multiple of LightGCN's, and whether that is at most 1.5."""
    ours = epoch_seconds(study, study.group(dataset, MODEL, "text"))
    theirs = epoch_seconds(study, study.group(dataset, "lightgcn"))
    if ours is None or theirs is None:
        return NOT_RUN, NOT_RUN
    return f"{ours / theirs:.2f}", verdict(is_reached=ours / theirs <= 1.5)


def _item_parts(study: Study, metrics: RankMetrics, dataset: str) -> Iterator[str]:
    rows: list[list[str]] = []
    for model, label in _SHOWN:
        group = study.group(dataset, model, label)
        found = [metrics.item_part(group, _between(*bounds), _METRIC) for bounds in pairwise(_BOUNDS)]
        if any(value is not None for value in found):
            rows.append([_named(model, label), *("" if v is None else f"{v:.4f}" for v in found)])
    if rows:
        yield f"### {title(_METRIC)} of test pairs by training users of their item\n"
    yield from table(["model", *_PARTS], rows)


def _between(low: int, high: int) -> Callable[[IntArray], BoolArray]:
    return lambda degrees: (degrees >= low) & (degrees < high)


def _gates(study: Study, dataset: str) -> Iterator[str]:
    records = [record for record in study.group(dataset, MODEL, "text").records if record.gates]
    if not records:
        return
    yield "### Share of its own vector that a node keeps\n"
    yield "Mean over nodes, layers and seeds; the rest comes from its text. 1 would be LightGCN.\n"
    rows: list[list[str]] = []
    for part in records[0].gates:
        found = [p.means for record in records for p in record.gates if p.part == part.part]
        layers = np.mean(found, axis=0)  # (L,)
        bar = "█" * round(_BAR * float(layers.mean()))
        rows.append(
            [
                part.part,
                f"{part.num_nodes:,}",
                *(f"{value:.3f}" for value in layers),
                f"`{bar.ljust(_BAR, '·')}`",
            ]
        )
    yield from table(["degree", "nodes", *(f"layer {n}" for n in range(len(rows[0]) - 3)), ""], rows)


def _warm_up(study: Study, metrics: RankMetrics, dataset: str) -> Iterator[str]:
    rows: list[list[str]] = []
    for name, label in (("with", "text"), ("without", f"text-{WITHOUT_WARM_UP}")):
        group = study.group(dataset, MODEL, label)
        if group.records:
            first = [r.fit.history[0].metric or 0.0 for r in group.records if r.fit.history]
            best = [float(r.fit.best_epoch) for r in group.records]
            rows.append([name, _spread(first), _spread(best, 1), metrics.cell(group, _METRIC)])
    if rows:
        yield "### Warm-up\n"
    yield from table(["phase 1", "first validation", "best epoch", f"test {title(_METRIC)}"], rows)


def _spread(values: list[float], digits: int = 4) -> str:
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else ""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _user_groups(study: Study, metrics: RankMetrics, dataset: str) -> Iterator[str]:
    shown = [(MODEL, "text"), ("lightgcn", "plain")]
    groups = [study.comparable(dataset, *each) for each in shown]
    cuts = study.records.user_groups(dataset)
    if not cuts or not all(group.records for group in groups):
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
    rows: list[list[str]] = []
    reference = epoch_seconds(study, study.group(dataset, "lightgcn"))
    for model in study.models(dataset):
        label = "plain" if study.group(dataset, model).records else "text"
        seconds = epoch_seconds(study, study.group(dataset, model, label))
        if seconds is not None:
            times = "" if reference is None else f"{seconds / reference:.2f}"
            rows.append([_named(model, label), f"{seconds:.2f}", times])
    if rows:
        yield "### Cost\n"
    yield from table(["model", "seconds per epoch, one thread", "times `lightgcn`"], rows)


def _named(model: str, label: str) -> str:
    _, _, variant = label.partition("-")
    text = " + text" if label == "text" and model == "lightgcn" else ""
    return f"`{model}`{text}" + (f", {variant.replace('-', ' ')}" if variant else "")

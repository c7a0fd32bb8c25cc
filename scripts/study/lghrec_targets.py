"""What LGHRec has to reach, judged by current records alone."""

from collections.abc import Iterator
from math import inf
from typing import Final

from recommender.evaluation.significance import PairedTest
from scripts.study.beside import Row, Sources, verdict
from scripts.study.comparisons import Sides
from scripts.study.groups import NOT_RUN, Group
from scripts.study.item_parts import ItemPart
from scripts.study.lghrec import (
    BACKBONES,
    CONTROLS,
    LASTFM,
    LIGHTER,
    MODEL,
    OTHER_FIXED,
    RELEASED,
    SEMANTIC_ID,
    lighter,
    with_hgpo,
)
from scripts.study.lghrec_cost import cost_targets
from scripts.study.lghrec_fixed import choose_fixed
from scripts.study.row_tables import Tests, is_more, marked, minus_each
from scripts.study.same_seeds import rows_of_same_seeds
from scripts.study.tables import table, title

JUDGED: Final = "ndcg@20"
BASE: Final = "as it is"
FORMS: Final = (BASE, "+ semantic ID", "+ HGPO", "+ both")
BOTH: Final = FORMS[-1]
RARE: Final = ItemPart(most=9)
"""The long tail: items of fewer than ten training users."""
OURS: Final[Row] = (MODEL, f"text-{with_hgpo('lightgcn')}")
WANTED: Final = 7
HGPO_CONTROLS: Final[tuple[Row, ...]] = tuple((MODEL, f"text-{name}") for name in (*CONTROLS, *OTHER_FIXED))
CONTROL_ROWS: Final[tuple[Row, ...]] = (
    *HGPO_CONTROLS,
    *((MODEL, f"text-{name}") for name in RELEASED),
    *((MODEL, f"{form}-{with_hgpo('lightgcn')}") for form in ("shuffled", "random")),
)
"""What LGHRec on LightGCN stands beside; all tests against them are of one family."""
LIGHT: Final = f"both, λ_cl {LIGHTER}"
"""A form besides `FORMS`, which no table of forms shows: their seeds would be cut to its own."""


def rows_of(backbone: str) -> dict[str, Row]:
    """Form → its runs."""
    hgpo = with_hgpo(backbone)
    rows = (
        (backbone, "plain"),
        (backbone, f"text-{SEMANTIC_ID}"),
        (MODEL, f"plain-{hgpo}"),
        (MODEL, f"text-{hgpo}"),
    )
    return dict(zip(FORMS, rows, strict=True))


def gains(sources: Sources, dataset: str, part: ItemPart | None = None) -> dict[tuple[str, str], PairedTest]:
    """(backbone, form) → its test against the backbone as it is; one family for the data set and part.

    `LIGHT` is one of the forms, so that a choice among weights is corrected for what it chose from.
    """
    sides: dict[str, Sides] = {}
    for backbone in BACKBONES:
        rows = rows_of(backbone) | {LIGHT: (MODEL, f"text-{lighter(backbone)}")}
        base = sources.study.group(dataset, *rows[BASE]).current.records
        for form in (*FORMS[1:], LIGHT):
            ours = sources.study.group(dataset, *rows[form]).current.records
            if ours and base:
                sides[f"{backbone}/{form}"] = (ours, base)
    found = sources.comparisons.family(sides, JUDGED, part)
    return {(name.partition("/")[0], name.partition("/")[2]): test for name, test in found.items()}


def control_tests(sources: Sources, part: ItemPart | None = None) -> Tests:
    """LGHRec on LightGCN minus each of its controls on colakg-lastfm; one family for all items, or a part."""
    return minus_each(sources, LASTFM, OURS, CONTROL_ROWS, JUDGED, part=part)


def targets(sources: Sources) -> Iterator[str]:
    """A line per target; all of them are of one data set."""
    yield "## Targets\n"
    metric, num_backbones = title(JUDGED), len(BACKBONES)
    tail = f"items of degree < {RARE.most + 1}"
    found = {
        f"both better than the backbone, beyond chance, for ≥ {WANTED} of {num_backbones}": _both(sources),
        f"both gain a larger share of {metric} for {tail} than for all, on most backbones": _tail(sources),
        f"HGPO above the fixed τ that validation chooses, in {metric} of {tail}, beyond chance": (
            _fixed(sources)
        ),
    } | cost_targets(sources.study.records)
    rows = [[LASTFM, target, *cells] for target, cells in found.items()]
    yield from table(["data set", "target", "ours", ""], rows)


def _both(sources: Sources) -> tuple[str, str]:
    tests = [test for (_, form), test in gains(sources, LASTFM).items() if form == BOTH]
    num_better = sum(map(is_more, tests))
    return _counted(num_better, len(tests), is_reached=num_better >= WANTED)


def _tail(sources: Sources) -> tuple[str, str]:
    """Of how many backbones the gain is larger on the long tail; every pair counts once in both gains."""
    larger: list[bool] = []
    for backbone in BACKBONES:
        rows = rows_of(backbone)
        groups = rows_of_same_seeds(sources.study, LASTFM, rows[BOTH], rows[BASE])
        shares = [_gain(sources, groups, part) for part in (RARE, ItemPart())]
        if shares[0] is not None and shares[1] is not None:
            larger.append(shares[0] > shares[1])
    return _counted(sum(larger), len(larger), is_reached=2 * sum(larger) > len(BACKBONES))


def _gain(sources: Sources, groups: tuple[Group, Group], part: ItemPart) -> float | None:
    """What the first has more than the second, as a share of it; None if one was not run."""
    ours, theirs = (sources.metrics.item_part(group, part.inside, JUDGED) for group in groups)
    if ours is None or theirs is None:
        return None
    return ours / theirs - 1 if theirs else inf if ours else 0.0


def _fixed(sources: Sources) -> tuple[str, str]:
    """Against the best constant that was run; of one that was not tuned the verdict says so."""
    fixed = choose_fixed(sources.study, JUDGED)
    if fixed is None:
        return NOT_RUN, NOT_RUN
    groups = rows_of_same_seeds(sources.study, LASTFM, OURS, fixed.row)
    ours, theirs = (sources.metrics.item_part(group, RARE.inside, JUDGED) for group in groups)
    if ours is None or theirs is None:
        return NOT_RUN, NOT_RUN
    test = control_tests(sources, RARE)[fixed.row]
    state = verdict(is_reached=is_more(test))
    against = f"{theirs:.4f} of {fixed.words}"
    return f"{ours:.4f} against {against}, {marked(test)}", state if fixed.is_tuned else f"{state}, not tuned"


def _counted(number: int, run: int, *, is_reached: bool) -> tuple[str, str]:
    """Backbones of which something is true, of those that were run; judged once all were."""
    state = verdict(is_reached=is_reached) if run == len(BACKBONES) else NOT_RUN
    return f"{number} of {run} that were run", state

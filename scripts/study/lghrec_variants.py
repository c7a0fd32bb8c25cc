"""Variants of LGHRec that were tried within its spirit: no policy, a faster one, a lighter contrast."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from recommender.evaluation.significance import PairedTest
from scripts.study.beside import Row, Sources, verdict
from scripts.study.comparisons import Sides
from scripts.study.groups import NOT_RUN
from scripts.study.item_parts import ItemPart
from scripts.study.lghrec import (
    BACKBONES,
    LASTFM,
    LEARNING,
    LIGHTER,
    MODEL,
    SENSITIVITY,
    lighter,
    without_policy,
)
from scripts.study.lghrec_reading import WHERE, words_of
from scripts.study.lghrec_targets import (
    BOTH,
    HGPO_CONTROLS,
    JUDGED,
    LIGHT,
    OURS,
    WANTED,
    control_tests,
    gains,
    rows_of,
)
from scripts.study.row_tables import is_more, marked, minus_each
from scripts.study.same_seeds import rows_of_same_seeds
from scripts.study.tables import table, title

SETTING_ROWS: Final[tuple[Row, ...]] = tuple(
    (MODEL, f"text-{name}") for name in (*SENSITIVITY, *LEARNING, lighter(BACKBONES[0]))
)


def policy_gives(sources: Sources, dataset: str) -> Iterator[str]:
    """Per backbone, both beside both with a contrast that nobody steers; nothing where none was run."""
    pairs = {b: (rows_of(b)[BOTH], (MODEL, f"text-{without_policy(b)}")) for b in BACKBONES}
    tests = {where: _tests(sources, dataset, pairs, part) for where, part in WHERE.items()}
    rows = [
        [f"`{b}`", *(marked(found[b]) if b in found else NOT_RUN for found in tests.values())]
        for b in BACKBONES
    ]
    if any(tests.values()):
        yield "### The policy, or one more contrast?\n"
        yield (
            f"{title(JUDGED)} of both, minus both with a constant temperature and negatives of the batch, on "
            "the seeds that both have.\n"
        )
        yield from table(["backbone", *tests], rows)


def best_variant(sources: Sources, dataset: str) -> Iterator[str]:
    """What validation would choose of all that was run on LightGCN with texts, by the first seed."""
    values = {
        row: record.validation[JUDGED]
        for row in (OURS, *HGPO_CONTROLS, *SETTING_ROWS)
        for record in sources.study.group(dataset, *row).current.records
        if record.run.seed == 0 and JUDGED in record.validation
    }
    if OURS not in values or values.keys() == {OURS}:
        return
    best = max(values, key=lambda row: values[row])
    chosen = f"Of {len(values)} variants that were run, validation ({title(JUDGED)}, seed 0) chooses"
    if best == OURS:
        yield f"{chosen} the defaults.\n"
        return
    found = [
        f"{marked({**control_tests(sources, part), **setting_tests(sources, part)}[best])} of {where}"
        for where, part in WHERE.items()
    ]
    yield (
        f"{chosen} *{words_of(best)}*. LGHRec at its defaults minus it, in {title(JUDGED)} of the test part: "
        f"{', '.join(found)}.\n"
    )


def setting_tests(sources: Sources, part: ItemPart | None = None) -> dict[Row, PairedTest]:
    """LGHRec on LightGCN minus each of its other settings on colakg-lastfm; one family."""
    return dict(minus_each(sources, LASTFM, OURS, SETTING_ROWS, JUDGED, part=part))


def weights(sources: Sources, dataset: str) -> Iterator[str]:
    """Both with the weight of the contrast that validation chooses, beside the backbone as it is."""
    chosen = {b: form for b in BACKBONES if (form := _chosen_form(sources, dataset, b))}
    if not chosen:
        return
    tests = gains(sources, dataset)
    yield "### Both, with a weight of the contrast that validation chooses\n"
    yield (
        f"0.1, the default, or {LIGHTER}, by the seeds that were run with both; {title(JUDGED)} of the test "
        "part, minus the backbone as it is, by all seeds of the chosen one. The tests are of one family with "
        "those of all forms above.\n"
    )
    better: list[bool] = []
    rows: list[list[str]] = []
    for backbone in BACKBONES:
        form = chosen.get(backbone)
        test = None if form is None else tests.get((backbone, form))
        if form is None or test is None:
            rows.append([f"`{backbone}`", NOT_RUN, "", ""])
            continue
        seeds = len(
            rows_of_same_seeds(sources.study, dataset, _row(backbone, form), (backbone, "plain"))[0].records
        )
        rows.append([f"`{backbone}`", LIGHTER if form == LIGHT else "0.1", f"{seeds}", marked(test)])
        better.append(is_more(test))
    yield from table(["backbone", "weight", "seeds", f"{title(JUDGED)}: both minus the backbone"], rows)
    state = verdict(is_reached=sum(better) >= WANTED) if len(better) == len(BACKBONES) else NOT_RUN
    yield (
        f"Better beyond chance: {sum(better)} of {len(better)} that were run. The target of {WANTED}, with "
        f"these weights: {state}.\n"
    )


def _row(backbone: str, form: str) -> Row:
    return (MODEL, f"text-{lighter(backbone)}") if form == LIGHT else rows_of(backbone)[form]


def _chosen_form(sources: Sources, dataset: str, backbone: str) -> str | None:
    """Of both weights by validation, on the seeds that both have; None if they share none."""
    rows = _row(backbone, BOTH), _row(backbone, LIGHT)
    groups = rows_of_same_seeds(sources.study, dataset, *rows)
    values = [[record.validation.get(JUDGED, 0.0) for record in group.records] for group in groups]
    if not all(values):
        return None
    return LIGHT if np.mean(values[1]) > np.mean(values[0]) else BOTH


def _tests(
    sources: Sources, dataset: str, pairs: Mapping[str, tuple[Row, Row]], part: ItemPart | None = None
) -> dict[str, PairedTest]:
    """Backbone → its first row minus its second, of those that were run; one family."""
    sides: dict[str, Sides] = {}
    for backbone, rows in pairs.items():
        ours, theirs = (sources.study.group(dataset, *row).current.records for row in rows)
        if ours and theirs:
            sides[backbone] = ours, theirs
    return sources.comparisons.family(sides, JUDGED, part)

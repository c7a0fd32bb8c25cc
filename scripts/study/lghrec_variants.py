"""Variants of LGHRec that were tried within its spirit: no policy, a faster one, a lighter contrast."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from recommender.evaluation.significance import PairedTest
from scripts.study.beside import Row, Sources, verdict
from scripts.study.comparisons import Sides
from scripts.study.groups import NOT_RUN
from scripts.study.item_parts import ItemPart
from scripts.study.lghrec import BACKBONES, LEARNING, LIGHTER, MODEL, SENSITIVITY, lighter, without_policy
from scripts.study.lghrec_reading import HGPO_CONTROLS, WHERE, words_of
from scripts.study.lghrec_targets import BASE, BOTH, JUDGED, OURS, WANTED, rows_of
from scripts.study.row_tables import is_more, marked, minus_each
from scripts.study.same_seeds import rows_of_same_seeds
from scripts.study.tables import table, title

_OF_LIGHTGCN: Final[tuple[Row, ...]] = tuple(
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
        for row in (OURS, *HGPO_CONTROLS, *_OF_LIGHTGCN)
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
    test = minus_each(sources, dataset, best, [OURS], JUDGED)[OURS]
    yield f"{chosen} *{words_of(best)}*: on the test part {marked(test)} beside the defaults.\n"


def weights(sources: Sources, dataset: str) -> Iterator[str]:
    """Both with the weight of the contrast that validation chooses, beside the backbone as it is."""
    chosen = {b: row for b in BACKBONES if (row := _chosen_weight(sources, dataset, b))}
    if not chosen:
        return
    tests = _tests(sources, dataset, {b: (row, rows_of(b)[BASE]) for b, row in chosen.items()})
    yield "### Both, with a weight of the contrast that validation chooses\n"
    yield (
        f"0.1, the default, or {LIGHTER}; {title(JUDGED)} of the test part, minus the backbone as it is, on "
        "the seeds that both have.\n"
    )
    rows: list[list[str]] = []
    for backbone in BACKBONES:
        row = chosen.get(backbone)
        told = [NOT_RUN, ""] if row is None else [_weight(row, backbone), ""]
        if backbone in tests:
            told[1] = marked(tests[backbone])
        rows.append([f"`{backbone}`", *told])
    yield from table(["backbone", "weight", f"{title(JUDGED)}: both minus the backbone"], rows)
    num_better = sum(map(is_more, tests.values()))
    state = verdict(is_reached=num_better >= WANTED) if len(tests) == len(BACKBONES) else NOT_RUN
    yield (
        f"Better beyond chance: {num_better} of {len(tests)} that were run; the target of {WANTED} is "
        f"{state} with it.\n"
    )


def _chosen_weight(sources: Sources, dataset: str, backbone: str) -> Row | None:
    """Of both weights by validation, on the seeds that both have; None if they share none."""
    rows = (rows_of(backbone)[BOTH], (MODEL, f"text-{lighter(backbone)}"))
    groups = rows_of_same_seeds(sources.study, dataset, *rows)
    values = [[record.validation.get(JUDGED, 0.0) for record in group.records] for group in groups]
    if not all(values):
        return None
    return rows[int(np.mean(values[1]) > np.mean(values[0]))]


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


def _weight(row: Row, backbone: str) -> str:
    return LIGHTER if row[1].endswith(lighter(backbone)) else "0.1"

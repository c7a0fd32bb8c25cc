"""What LGHRec's parts give by its records, and what HGPO is worth beside its controls."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from recommender.evaluation.significance import PairedTest
from scripts.study.beside import Row, Sources
from scripts.study.groups import NOT_RUN
from scripts.study.item_parts import ItemPart
from scripts.study.lghrec import BACKBONES, CONTROLS, MODEL, OTHER_FIXED, SENSITIVITY, without_policy
from scripts.study.lghrec_targets import BASE, BOTH, FORMS, JUDGED, OURS, RARE, gains, rows_of
from scripts.study.row_tables import is_less, is_more, marked, minus_each
from scripts.study.same_seeds import rows_of_same_seeds
from scripts.study.tables import table, title

HGPO_CONTROLS: Final[tuple[Row, ...]] = tuple((MODEL, f"text-{name}") for name in (*CONTROLS, *OTHER_FIXED))
_TRIED: Final[tuple[Row, ...]] = (*HGPO_CONTROLS, *((MODEL, f"text-{name}") for name in SENSITIVITY))
_WHERE: Final[Mapping[str, ItemPart | None]] = {"all items": None, f"items of degree < {RARE.most + 1}": RARE}


def parts_give(sources: Sources, dataset: str) -> Iterator[str]:
    """How many backbones each form makes better or worse; nothing before any form was run."""
    rows: list[list[str]] = []
    for words, part in _WHERE.items():
        tests = gains(sources, dataset, part)
        for form in FORMS[1:]:
            found = [test for (_, name), test in tests.items() if name == form]
            if found:
                better, worse = sum(map(is_more, found)), sum(map(is_less, found))
                share = _mean_gain(sources, dataset, form, part or ItemPart())
                rows.append([words, form, str(better), str(worse), str(len(found)), f"{share:+.1%}"])
    if rows:
        yield f"### Which part gives what, {title(JUDGED)} beside the backbone as it is\n"
        heads = ["", "form", "better", "worse", "backbones run", "mean gain, pair by pair"]
        yield from table(heads, rows)


def _mean_gain(sources: Sources, dataset: str, form: str, part: ItemPart) -> float:
    """Mean over backbones of what a form has more than the backbone, as a share of it."""
    shares: list[float] = []
    for backbone in BACKBONES:
        rows = rows_of(backbone)
        groups = rows_of_same_seeds(sources.study, dataset, rows[form], rows[BASE])
        ours, theirs = (sources.metrics.item_part(group, part.inside, JUDGED) for group in groups)
        if ours is not None and theirs:
            shares.append(ours / theirs - 1)
    return float(np.mean(shares)) if shares else 0.0


def beside_controls(sources: Sources, dataset: str) -> Iterator[str]:
    """Whether the policy is worth more than what could stand in its place."""
    for words, part in _WHERE.items():
        tests = minus_each(sources, dataset, OURS, HGPO_CONTROLS, JUDGED, part=part)
        if not tests:
            return
        beaten = [row for row, test in tests.items() if is_more(test)]
        better = [row for row, test in tests.items() if is_less(test)]
        equal = [row for row in tests if row not in beaten and row not in better]
        yield (
            f"{title(JUDGED)} of {words}: LGHRec is above {_named(beaten)}, below {_named(better)}; no "
            f"difference beyond chance: {_named(equal)}.\n"
        )


def policy_gives(sources: Sources, dataset: str) -> Iterator[str]:
    """Per backbone, both beside both with a contrast that nobody steers; nothing where none was run."""
    rows: list[list[str]] = []
    tests: dict[str, Mapping[str, PairedTest]] = {}
    for words, part in _WHERE.items():
        pairs = {
            backbone: (
                sources.study.group(dataset, *rows_of(backbone)[BOTH]).current.records,
                sources.study.group(dataset, MODEL, f"text-{without_policy(backbone)}").current.records,
            )
            for backbone in BACKBONES
        }
        sides = {backbone: both for backbone, both in pairs.items() if all(both)}
        tests[words] = sources.comparisons.family(sides, JUDGED, part)
    for backbone in BACKBONES:
        cells = [marked(found[backbone]) if backbone in found else NOT_RUN for found in tests.values()]
        rows.append([f"`{backbone}`", *cells])
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
        for row in (OURS, *_TRIED)
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
    yield f"{chosen} *{_words(best)}*: on the test part {marked(test)} beside the defaults.\n"


def _named(rows: Sequence[Row]) -> str:
    return ", ".join(f"*{_words(row)}*" for row in rows) or "none"


def _words(row: Row) -> str:
    return row[1].removeprefix("text-").replace("-", " ")

"""What LGHRec's parts give by its records, and what HGPO is worth beside its controls."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from scripts.study.beside import Row, Sources
from scripts.study.item_parts import ItemPart
from scripts.study.lghrec import BACKBONES
from scripts.study.lghrec_targets import (
    BASE,
    FORMS,
    HGPO_CONTROLS,
    JUDGED,
    RARE,
    control_tests,
    gains,
    rows_of,
)
from scripts.study.row_tables import is_less, is_more
from scripts.study.same_seeds import rows_of_same_seeds
from scripts.study.tables import table, title

_HYPHEN: Final = re.compile(r"(?<!\de)-")
"""Between words, not the minus of 1e-2."""
WHERE: Final[Mapping[str, ItemPart | None]] = {"all items": None, f"items of degree < {RARE.most + 1}": RARE}


def parts_give(sources: Sources, dataset: str) -> Iterator[str]:
    """How many backbones each form makes better or worse; nothing before any form was run."""
    rows: list[list[str]] = []
    for where, part in WHERE.items():
        tests = gains(sources, dataset, part)
        for form in FORMS[1:]:
            found = [test for (_, name), test in tests.items() if name == form]
            if found:
                better, worse = sum(map(is_more, found)), sum(map(is_less, found))
                share = _mean_gain(sources, dataset, form, part or ItemPart())
                rows.append([where, form, str(better), str(worse), str(len(found)), f"{share:+.1%}"])
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


def beside_controls(sources: Sources) -> Iterator[str]:
    """Whether the policy is worth more than what could stand in its place, by the tests of the table."""
    for where, part in WHERE.items():
        tests = {row: test for row, test in control_tests(sources, part).items() if row in HGPO_CONTROLS}
        if not tests:
            return
        beaten = [row for row, test in tests.items() if is_more(test)]
        better = [row for row, test in tests.items() if is_less(test)]
        equal = [row for row in tests if row not in beaten and row not in better]
        yield (
            f"{title(JUDGED)} of {where}: LGHRec is above {named(beaten)}, below {named(better)}; no "
            f"difference beyond chance: {named(equal)}.\n"
        )


def named(rows: Sequence[Row]) -> str:
    """Variants of LGHRec's, written one after the other."""
    return ", ".join(f"*{words_of(row)}*" for row in rows) or "none"


def words_of(row: Row) -> str:
    """A variant of LGHRec's, written."""
    return words(row[1].removeprefix("text-"))


def words(variant: str) -> str:
    """A variant, written."""
    return _HYPHEN.sub(" ", variant)

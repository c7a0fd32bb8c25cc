"""Repeats: pairs of a user and an item that stand in more than one part of the split.

A ranking leaves out what a user had before, so a held-out event that repeats an earlier pair must not be
asked for. Counted here from the events themselves, and compared with what evaluation asks for.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.reader import Release
from recommender.data import HeldOut, load_training_data
from recommender.evaluation.tasks import load_test_data
from recommender.leaks.finding import Finding

CHECK: Final = "repeats"
_PAIR: Final = (c.USER_ID, c.ITEM_ID)


def check_repeats(release: Release) -> list[Finding]:
    """Pairs shared by train, valid and test, and whether evaluation would rank one of them."""
    pairs = {part: release.interactions(part).select(_PAIR).unique() for part in c.PARTS}
    counts = {
        f"{one}_and_{other}": _shared(pairs[one], pairs[other])
        for one, other in ((c.TRAIN, c.VALID), (c.TRAIN, c.TEST), (c.VALID, c.TEST))
    }
    findings: list[Finding] = []
    if pairs[c.VALID].height:
        asked = _asked_pairs(release, load_training_data(release).valid)
        findings.append(judge_repeats("validation pairs", asked, pairs[c.VALID], pairs[c.TRAIN]))
    if pairs[c.TEST].height:
        asked = _asked_pairs(release, load_test_data(release))
        before = pl.concat([pairs[c.TRAIN], pairs[c.VALID]])
        findings.append(judge_repeats("test pairs", asked, pairs[c.TEST], before))
    return [replace(finding, figures={**finding.figures, **counts}) for finding in findings]


def judge_repeats(subject: str, asked: pl.DataFrame, held_out: pl.DataFrame, before: pl.DataFrame) -> Finding:
    """Whether pairs that a user had before are asked for; frames of the columns user_id and item_id.

    Args:
        subject: What the pairs are.
        asked: Pairs that a ranking is asked for.
        held_out: Pairs of the part.
        before: Pairs of the parts before it.
    """
    ranked, repeats = _shared(asked, before), _shared(held_out, before)
    figures: dict[str, float | int | str] = {
        "asked": asked.height,
        "repeats": repeats,
        "repeats_asked": ranked,
    }
    if ranked:
        detail = f"evaluation asks for {ranked:,} pairs that the user had before."
        return Finding(CHECK, subject, "leak", figures, detail)
    if not repeats:
        return Finding(CHECK, subject, "ok", figures, "no pair stands in an earlier part as well.")
    detail = (
        f"{repeats:,} of {held_out.height:,} pairs repeat earlier ones; they are left out of the ranking."
    )
    return Finding(CHECK, subject, "note", figures, detail)


def _asked_pairs(release: Release, held_out: HeldOut) -> pl.DataFrame:
    """The pairs that a ranking is asked for, by external ids."""
    return pl.DataFrame(
        {
            c.USER_ID: pl.Series(release.id_map("user").ids_of(held_out.users), dtype=pl.String),
            c.ITEM_ID: pl.Series(release.id_map("item").ids_of(held_out.items), dtype=pl.String),
        }
    )


def _shared(some: pl.DataFrame, others: pl.DataFrame) -> int:
    return some.join(others, on=_PAIR, how="semi").height

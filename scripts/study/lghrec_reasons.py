"""Why we think that LGHRec's targets are missed, as far as the records show it."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from scripts.study.beside import Sources, verdict
from scripts.study.lghrec import LASTFM, LEARNING, MODEL
from scripts.study.lghrec_cost import cost_targets
from scripts.study.lghrec_policy import EVEN
from scripts.study.lghrec_reading import WHERE, named, words_of
from scripts.study.lghrec_targets import (
    BOTH,
    FORMS,
    HGPO_CONTROLS,
    LIGHT,
    OURS,
    RARE,
    control_tests,
    gains,
)
from scripts.study.lghrec_variants import setting_tests
from scripts.study.row_tables import is_less, is_more, marked

HGPO: Final = FORMS[2]


def reasons(sources: Sources) -> Iterator[str]:
    """One line per reason that the records show; nothing without any."""
    found = [*_unlearned(sources), *_beaten(sources), *_worse(sources), *_cost(sources)]
    if not found:
        return
    yield "### What we think is the reason where a target is missed, or reached in part\n"
    yield from found
    yield (
        "* The paper's data sets, backbones and tables are in no source that we have; its texts are chains "
        "of thought of a tuned model, ours descriptions by models that were not tuned.\n"
    )


def _unlearned(sources: Sources) -> Iterator[str]:
    """Policies that are still what they began as, and what those that learn give."""
    records = [record for record in sources.study.group(LASTFM, *OURS).current.records if record.policy]
    choices = [r.choice for record in records for r in record.policy if r.choice is not None]
    weights = [r.num_actions for record in records for r in record.policy if r.choice is not None]
    if not choices:
        return
    even = float(np.average([choice.evenness for choice in choices], weights=weights))
    if even <= EVEN:
        return
    steps = float(np.mean([reading.updates for record in records for reading in record.policy]))
    rate = float(records[0].config.get("policy_learning_rate", 0))
    entropy = float(records[0].config.get("entropy_weight", 0))
    yield (
        f"* The choice of negatives hardly learns at the released code's settings: {steps:,.0f} steps of "
        f"size {rate:g} at an entropy weight of {entropy:g} leave it at {even:.3f} of the largest entropy."
        f"{_of_learning(sources)}"
    )


def _of_learning(sources: Sources) -> str:
    """Where policies that may learn more are better or worse than the defaults."""
    rows = [(MODEL, f"text-{variant}") for variant in LEARNING]
    said = ""
    for where, part in WHERE.items():
        tests = setting_tests(sources, part)
        run = [row for row in rows if row in tests]
        better, worse = ([row for row in run if told(tests[row])] for told in (is_less, is_more))
        if run:
            said += f" Of {where}, better than it beyond chance: {named(better)}; worse: {named(worse)}."
    return said


def _beaten(sources: Sources) -> Iterator[str]:
    """What needs no policy and is above HGPO on the long tail."""
    tests = control_tests(sources, RARE)
    above = {row: test for row, test in tests.items() if row in HGPO_CONTROLS and is_less(test)}
    if above:
        told = ", ".join(f"*{words_of(row)}* ({marked(test)})" for row, test in above.items())
        yield (
            f"* On items of degree < {RARE.most + 1} HGPO is below {told}. Its temperature's reward has its "
            "optimum at T_ideal(degree), which needs no policy; the constant that the target names is chosen "
            "by validation on all items."
        )


def _worse(sources: Sources) -> Iterator[str]:
    """Backbones that the contrast makes worse, with texts and without."""
    tests = gains(sources, LASTFM)
    told: list[str] = []
    for form in (HGPO, BOTH, LIGHT):
        worse = [
            f"`{backbone}`" for (backbone, name), test in tests.items() if name == form and is_less(test)
        ]
        if worse:
            told.append(f"*{form}*: {', '.join(worse)}")
    if told:
        yield (
            f"* Worse than the backbone beyond chance: {'; '.join(told)}. The contrast is over LightGCN's "
            "views whatever a backbone scores by, and its weight was not tuned for each."
        )


def _cost(sources: Sources) -> Iterator[str]:
    """Why a step costs what it does, where the target is missed."""
    if any(state == verdict(is_reached=False) for _, state in cost_targets(sources.study.records).values()):
        yield (
            "* The cost: `sgl` alone propagates over its graph and two cuts, with HGPO over two cuts more, "
            "and a policy acts and learns for every node of a batch. `lightgcn` with HGPO has as many graphs "
            "as `sgl` alone."
        )
